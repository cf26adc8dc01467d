import { fileURLToPath } from "node:url";

import { defineConfig } from "vite";

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  // wherever a proxy puts it
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../dist/page",
    emptyOutDir: true,
    target: ["chrome111", "firefox114", "safari16.4"],
    // the policy takes nothing that is inline, data: included
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: true,
  },
  // npx vite page: beside a daemon with --no-token
  server: {
    proxy: {
      "^/(images|events|queue|usage|gc|check|disks)": {
        target: "http://127.0.0.1:5080",
        changeOrigin: true,
        // the page's own sources lie in directories of the same names
        bypass: ({ url = "" }) => (/\.(tsx?|css)(\?|$)/.test(url) ? url : undefined),
        // as the daemon asks for it: a page of its own
        configure: (proxy) => proxy.on("proxyReq", (request) => request.removeHeader("origin")),
      },
    },
  },
});
