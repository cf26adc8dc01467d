import { dirname, join, relative } from "node:path";

import { build } from "esbuild";

/**
 * Writes what esbuild has made with `splitting`, in fewer files. It splits so that nobody loads a line too many, and some commands would read
 * sixty files, each of which takes Node as long as 30 KB of code. Of the chunks, those that are loaded by the same of the `profiles`
 * become one; who has none of them still finds each of its chunks alone.
 *
 * The merging is another build, each file of which takes in the chunks of its own group and leaves all others outside, as it found them.
 *
 * @param {{ outputFiles: { path: string, text: string }[], metafile: import("esbuild").Metafile }} made
 * @param {import("esbuild").BuildOptions & { outdir: string }} options
 * @param {{ main: string, profiles: readonly string[] }} together ends of the paths of entry points
 */
export async function writeMerged({ outputFiles, metafile: { outputs } }, options, { main, profiles }) {
  const { outdir } = options;
  const texts = new Map(outputFiles.map(({ path, text }) => [relative(".", path), text]));
  const groups = groupChunks(outputs, { main, profiles });
  const chunks = [...texts.keys()].filter((path) => path !== main && isChunk(outputs[path]));
  const exported = (path, name) => `_${chunks.indexOf(path)}_${name}`;
  const fileOf = (group) => join(outdir, "chunks", `${group}.mjs`);

  const merge = {
    name: "merge",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /./ }, ({ path, kind, importer, namespace }) => {
        if (kind === "entry-point") {
          const [, kindOfEntry, name] = /^(made|group):(.+)$/.exec(path);
          return { path: name, namespace: kindOfEntry };
        }
        if (kind !== "import-statement" || !path.startsWith(".")) return { path, external: true };
        const from = namespace === "group" ? fileOf(importer) : importer;
        const target = join(dirname(from), path);
        const group = groups.get(target);
        if (group === undefined) return { path, external: true };
        const own = namespace === "group" ? importer : groups.get(importer);
        if (group === own) return { path: target, namespace: "made" };
        return { path: `./${relative(dirname(from), fileOf(group))}`, external: true };
      });
      onLoad({ filter: /./, namespace: "group" }, ({ path: group }) => {
        const members = chunks.filter((path) => groups.get(path) === group);
        const lines = members.flatMap((path) => {
          const from = JSON.stringify(`./${relative(join(outdir, "chunks"), path)}`);
          const names = outputs[path].exports.map((name) => `${name} as ${exported(path, name)}`);
          return [`import ${from};`, `export { ${names.join(", ")} } from ${from};`];
        });
        return { contents: lines.join("\n"), loader: "js" };
      });
      onLoad({ filter: /./, namespace: "made" }, ({ path }) => {
        const contents = texts.get(path).replaceAll(IMPORT, (statement, names, from) => {
          const target = join(dirname(path), from);
          const group = groups.get(target);
          if (group === undefined || group === groups.get(path)) return statement;
          const listed = names.split(",").map((name) => name.trim());
          const renamed = listed.map((name) => {
            const [there, here = there] = name.split(" as ");
            return `${exported(target, there)} as ${here}`;
          });
          return `import { ${renamed.join(", ")} } from "${from}";`;
        });
        return { contents, loader: "js" };
      });
    },
  };
  const alone = [...texts.keys()].filter((path) => !groups.has(path));
  await build({
    ...options,
    entryPoints: [
      ...alone.map((path) => ({ in: `made:${path}`, out: relative(outdir, path).replace(/\.mjs$/, "") })),
      ...[...new Set(groups.values())].map((group) => ({ in: `group:${group}`, out: `chunks/${group}` })),
    ],
    plugins: [merge],
    splitting: false,
    minifyWhitespace: true,
  });
}

/** As esbuild writes it. */
const IMPORT = /^import \{([^}]+)\} from "(\.[^"]+)";$/gm;

/** What only other files import. */
function isChunk({ entryPoint }) {
  return entryPoint === undefined;
}

/** The chunks that become part of a group, with its name: that of the profiles that load it. */
function groupChunks(outputs, { main, profiles }) {
  const loaded = profiles.map((profile) => {
    const [path] = Object.entries(outputs).find(([, { entryPoint }]) => entryPoint?.endsWith(`/${profile}.js`)) ?? [];
    if (path === undefined) throw new Error(`cannot bundle: there is no entry point ${profile}`);
    return { name: profile.split("/").at(-1), chunks: loadedBy(path, outputs) };
  });
  const first = loadedBy(main, outputs);
  const groups = new Map();
  for (const [path, output] of Object.entries(outputs)) {
    if (!isChunk(output)) continue;
    const names = loaded.filter(({ chunks }) => chunks.has(path)).map(({ name }) => name);
    if (first.has(path)) groups.set(path, "first");
    else if (names.length > 0) groups.set(path, `for-${names.join("-")}`);
  }
  return groups;
}

/** All that is loaded with a file. */
function loadedBy(path, outputs) {
  const found = new Set([path]);
  // what is added to a set meanwhile is walked through too
  for (const each of found)
    for (const { path: imported, kind } of outputs[each].imports)
      if (kind === "import-statement" && Object.hasOwn(outputs, imported)) found.add(imported);
  return found;
}
