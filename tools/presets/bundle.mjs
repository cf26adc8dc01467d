import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join, basename } from "node:path";

import { build } from "esbuild";

/**
 * Bundles an app into one file that runs alone, or beside the `chunks` that its dynamic imports load. Called in the app's directory,
 * after its TypeScript was compiled to `dist/js`; `VERSION` in its source becomes the version of its package.
 *
 * @param {string} outfile
 * @param {{ splitting?: boolean, replacements?: Record<string, string> }} [options] `splitting`: what is imported dynamically goes
 * into files of its own; `replacements`: files that stand in for packages
 */
export async function bundle(outfile, { splitting = false, replacements = {} } = {}) {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  // names change with their content
  rmSync(join(dirname(outfile), "chunks"), { recursive: true, force: true });
  await build({
    entryPoints: [{ in: "dist/js/main.js", out: basename(outfile, extname(outfile)) }],
    outdir: dirname(outfile),
    outExtension: { ".js": extname(outfile) },
    chunkNames: "chunks/[name]-[hash]",
    splitting,
    plugins: [replace(replacements)],
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

/** esbuild's own `alias` would also lead astray the imports of a package's files by what stands in for it. */
function replace(replacements) {
  return {
    name: "replace",
    setup({ onResolve }) {
      onResolve({ filter: /^[^./]/ }, ({ path }) =>
        Object.hasOwn(replacements, path) ? { path: replacements[path] } : undefined,
      );
    },
  };
}

/**
 * Lays the native part of SQLite beside a bundle with `splitting`, for Nodes that have none of their own that is new enough: its loader looks in
 * the directory above its chunk.
 *
 * @param {string} outfile
 */
export function copyNativeSqlite(outfile) {
  const database = createRequire(new URL("../../packages/database/package.json", import.meta.url));
  const from = join(dirname(database.resolve("@photostructure/sqlite/package.json")), "prebuilds");
  const to = join(dirname(outfile), "prebuilds");
  rmSync(to, { recursive: true, force: true });
  for (const platform of readdirSync(from)) {
    mkdirSync(join(to, platform), { recursive: true });
    for (const name of readdirSync(join(from, platform)).filter((file) => file.endsWith(".node")))
      cpSync(join(from, platform, name), join(to, platform, name));
  }
}
