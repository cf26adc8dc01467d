/** Mounts a tree on a directory, says so, and stays: for tests that kill it, or run it where they do not. The file `never` never comes. */
import { mountTree } from "@lamella/fuse";
import { memoryTree } from "@lamella/layer-format/testing";

const [directory, end] = process.argv.slice(2);
const tree = memoryTree([
  { path: "bin/true", content: "yes", mode: 0o4755 },
  { path: "never", content: "does not come" },
]);
const never = new Promise(() => {});

const mount = await mountTree(
  {
    entryCount: tree.entryCount,
    inodeCount: tree.inodeCount,
    entries: (options) => tree.entries(options),
    lookup: (path, options) => tree.lookup(path, options),
    async *read(entry, options) {
      if (entry.path === "never") await never;
      yield* tree.read(entry, options);
    },
    [Symbol.asyncDispose]: () => tree[Symbol.asyncDispose](),
  },
  directory,
);
console.log("mounted");
if (end === "exit") process.exit(3);
if (end === "throw") throw new Error("broken down");
await mount.done;
