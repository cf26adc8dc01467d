/** Bundles the daemon into one file that runs alone. */
import { chmodSync, readFileSync } from "node:fs";

import { build } from "esbuild";

const outfile = "dist/lamellad.mjs";
await build({
  entryPoints: ["dist/js/main.js"],
  outfile,
  bundle: true,
  platform: "node",
  target: "node20.19",
  format: "esm",
  minifySyntax: true,
  define: { VERSION: JSON.stringify(JSON.parse(readFileSync("package.json", "utf8")).version) },
  legalComments: "eof",
  // some dependencies are CommonJS and call require()
  banner: {
    js: '#!/usr/bin/env node\nimport { createRequire as _createRequire } from "node:module";\nconst require = _createRequire(import.meta.url);',
  },
});
chmodSync(outfile, 0o755);
