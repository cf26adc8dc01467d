import { chmodSync, readFileSync } from "node:fs";

import { build } from "esbuild";

/**
 * Bundles an app into one file that runs alone. Called in the app's directory, after its TypeScript was compiled to `dist/js`;
 * `VERSION` in its source becomes the version of its package.
 *
 * @param {string} outfile
 */
export async function bundle(outfile) {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  await build({
    entryPoints: ["dist/js/main.js"],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20.19",
    format: "esm",
    minifySyntax: true,
    define: { VERSION: JSON.stringify(version) },
    legalComments: "eof",
    // some dependencies are CommonJS and call require()
    banner: {
      js: '#!/usr/bin/env node\nimport { createRequire as _createRequire } from "node:module";\nconst require = _createRequire(import.meta.url);',
    },
  });
  chmodSync(outfile, 0o755);
}
