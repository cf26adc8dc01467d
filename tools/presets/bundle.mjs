import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, extname, join, resolve } from "node:path";

import { build } from "esbuild";

import { writeMerged } from "./merged-chunks.mjs";

/**
 * Bundles an app into one file that runs alone, or beside the `chunks` that its dynamic imports load. Called in the app's directory,
 * after its TypeScript was compiled to `dist/js`; `VERSION` in its source becomes the version of its package.
 *
 * @param {string} outfile
 * @param {{ splitting?: boolean, profiles?: string[], replacements?: Record<string, Replacement> }} [options] `splitting`: what is imported
 * dynamically goes into files of its own; `profiles`: what is imported dynamically and shall find what it shares with others in few files;
 * `replacements`: files that stand in for packages
 * @typedef {string | { file: string, importer: RegExp }} Replacement `importer`: only what files with such paths import
 */
export async function bundle(outfile, { splitting = false, profiles = [], replacements = {} } = {}) {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  // names change with their content
  rmSync(join(dirname(outfile), "chunks"), { recursive: true, force: true });
  const output = {
    outdir: dirname(outfile),
    outExtension: { ".js": extname(outfile) },
    bundle: true,
    platform: "node",
    target: "node20.19",
    format: "esm",
    minifySyntax: true,
    legalComments: "eof",
    // some dependencies are CommonJS and call require()
    banner: {
      js: '#!/usr/bin/env node\nimport { createRequire as _createRequire } from "node:module";\nconst require = _createRequire(import.meta.url);',
    },
  };
  const whole = {
    ...output,
    entryPoints: [{ in: "dist/js/main.js", out: basename(outfile, extname(outfile)) }],
    chunkNames: "chunks/[name]-[hash]",
    splitting,
    plugins: [replace(replacements), pastIndexes()],
    define: { VERSION: JSON.stringify(version) },
  };
  if (profiles.length === 0) await build(whole);
  else {
    const made = await build({ ...whole, banner: {}, write: false, metafile: true });
    await writeMerged(made, output, { main: outfile, profiles });
  }
  chmodSync(outfile, 0o755);
}

/** esbuild's own `alias` would also lead astray the imports of a package's files by what stands in for it. */
function replace(replacements) {
  return {
    name: "replace",
    setup({ onResolve }) {
      onResolve({ filter: /^[^./]/ }, ({ path, importer: from }) => {
        if (!Object.hasOwn(replacements, path)) return undefined;
        const { [path]: replacement } = replacements;
        const { file, importer } = typeof replacement === "string" ? { file: replacement } : replacement;
        return importer === undefined || importer.test(from) ? { path: file } : undefined;
      });
    },
  };
}

/**
 * Leads what is imported from our packages to the files that have it. Through a package's index, esbuild takes all that the index names for
 * needed wherever any of it is, and makes one chunk of all of it.
 */
function pastIndexes() {
  return {
    name: "past-indexes",
    setup({ onLoad, resolve: find }) {
      onLoad({ filter: /\/dist\/.*\.js$/ }, async ({ path }) => {
        if (path.includes("/node_modules/")) return undefined;
        const text = await readFile(path, "utf8");
        const parts = [];
        let end = 0;
        for (const { 0: statement, 1: names, 2: from, index } of text.matchAll(OUR_IMPORT)) {
          const { path: file } = await find(from, { kind: "import-statement", resolveDir: dirname(path) });
          const imports = await Promise.all(listed(names).map((name) => importOf(name, { file, from })));
          parts.push(text.slice(end, index), ...imports);
          end = index + statement.length;
        }
        return { contents: parts.join("") + text.slice(end), loader: "js", resolveDir: dirname(path) };
      });
    },
  };
}

const OUR_IMPORT = /^import \{([^}]+)\} from "(@lamella\/[^"]+)";$/gm;
const RE_EXPORT = /^export (?:\{([^}]+)\}|\*) from "(\.[^"]+)";$/gm;

/** `a, b as c` as pairs of the name there and the name here. */
function listed(names) {
  return names
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")
    .map((name) => name.split(" as "))
    .map(([there, here = there]) => ({ there, here }));
}

async function importOf({ there, here }, { file, from }) {
  const found = (await exporter(file, there)) ?? { file: from, name: there };
  return `import { ${found.name} as ${here} } from ${JSON.stringify(found.file)};`;
}

/** The file that an index has a name from, and what it is called there; undefined for what the index has from elsewhere or by itself. */
async function exporter(index, name) {
  const text = await readFile(index, "utf8");
  const exports = [...text.matchAll(RE_EXPORT)].map(({ 1: names, 2: from }) => ({
    export_: names === undefined ? undefined : listed(names).find(({ here }) => here === name),
    isAll: names === undefined,
    file: resolve(dirname(index), from),
  }));
  // a name that is listed comes before one that comes with all of another file
  const own = exports.find(({ export_ }) => export_ !== undefined);
  if (own !== undefined)
    return (await exporter(own.file, own.export_.there)) ?? { file: own.file, name: own.export_.there };
  for (const { file } of exports.filter(({ isAll }) => isAll)) {
    const found = await exporter(file, name);
    if (found !== undefined) return found;
  }
  return undefined;
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
