import { createRandom, type Random } from "./random.js";
import { encodeEntry, type GeneratedEntry } from "./tar-entry.js";

export interface StackOptions {
  readonly seed: number;
  readonly layers: number;
  /** Independent trees in the same layers, each in a directory of its own. */
  readonly stacks: number;
  /** Changes of one tree in one layer. */
  readonly changes: number;
}

/** What one tree looks like after a layer, and what the layer at work has done. */
interface Tree {
  readonly root: string;
  readonly kinds: Map<string, Kind>;
  /** Paths of this layer: nothing is changed twice in one. */
  readonly touched: Set<string>;
  /** Regular files of this layer, to link to. */
  readonly files: GeneratedEntry[];
}

type Kind = "file" | "directory" | "symlink" | "fifo" | "char";

const NAMES = ["a", "b", "c", "d-", "\xff", "e f"];
const MAX_DEPTH = 4;
const TYPES: Readonly<Record<Kind, string>> = { file: "0", directory: "5", symlink: "2", fifo: "6", char: "3" };

/**
 * The tars of layers that build upon each other, the lowest first: files, links, devices and directories that come, change into
 * one another, are whited out and made opaque. Parents always have an entry, no layer says a thing twice, and hard links stay in
 * their layer: of the rest, the unpackers that judge do not agree.
 */
export function layerStack({ seed, layers, stacks, changes }: StackOptions): Buffer[] {
  const random = createRandom(seed);
  const trees = Array.from({ length: stacks }, (_, index): Tree => ({
    root: `stack${index}`,
    kinds: new Map(),
    touched: new Set(),
    files: [],
  }));
  return Array.from({ length: layers }, () => {
    const entries = trees.flatMap((tree) => changeTree(tree, changes, random));
    return Buffer.concat([...entries.map(encodeEntry), Buffer.alloc(1024)]);
  });
}

function changeTree(tree: Tree, changes: number, random: Random): GeneratedEntry[] {
  tree.touched.clear();
  tree.files.length = 0;
  const entries: GeneratedEntry[] = [];
  if (!tree.kinds.has(tree.root)) entries.push(place(tree, tree.root, "directory", random));
  for (let left = changes; left > 0; left--) {
    const path = `${tree.root}/${Array.from({ length: 1 + random.below(MAX_DEPTH) }, () => random.pick(NAMES)).join("/")}`;
    entries.push(...change(tree, path, random));
  }
  return entries;
}

function change(tree: Tree, path: string, random: Random): GeneratedEntry[] {
  const parents = ancestors(path);
  const blocked = parents.some((parent) => (tree.kinds.get(parent) ?? "directory") !== "directory");
  const gone = parents.some((parent) => tree.touched.has(parent) && !tree.kinds.has(parent));
  const below = [...tree.touched].some((other) => other.startsWith(`${path}/`));
  if (blocked || gone || below || tree.touched.has(path)) return [];
  const there = tree.kinds.get(path);
  if (there !== undefined && random.once(4)) return [whiteOut(tree, path, random)];
  if (there === "directory" && random.once(4)) return makeOpaque(tree, path, random);
  const missing = parents.filter((parent) => !tree.kinds.has(parent));
  const entries = missing.map((parent) => place(tree, parent, "directory", random));
  const kind = random.pick<Kind>(["file", "file", "file", "directory", "directory", "symlink", "fifo", "char"]);
  if (kind === "file" && tree.files.length > 0 && random.once(3)) return [...entries, hardLink(tree, path, random)];
  return [...entries, place(tree, path, kind, random)];
}

function place(tree: Tree, path: string, kind: Kind, random: Random): GeneratedEntry {
  if (kind !== "directory") forget(tree, path);
  tree.kinds.set(path, kind);
  tree.touched.add(path);
  const content = Uint8Array.from({ length: random.below(200) }, (_, index) => index);
  const xattrs = kind === "file" && random.once(3) ? [["user.a", `\0${random.below(9)}`] as const] : [];
  const placed: GeneratedEntry = {
    ...entry(path, TYPES[kind], random),
    linkName: kind === "symlink" ? random.pick(["a", "../b", "/etc", "nowhere/x"]) : "",
    device: kind === "char" ? [1, 3] : [0, 0],
    content: kind === "file" ? content : new Uint8Array(),
    xattrs,
  };
  if (kind === "file") tree.files.push(placed);
  return placed;
}

function hardLink(tree: Tree, path: string, random: Random): GeneratedEntry {
  const target = random.pick(tree.files);
  forget(tree, path);
  tree.kinds.set(path, "file");
  tree.touched.add(path);
  // The header of a link describes its target once more.
  const { mode, uid, gid, seconds } = target;
  return { ...entry(path, "1", random), linkName: target.name, mode, uid, gid, seconds };
}

function whiteOut(tree: Tree, path: string, random: Random): GeneratedEntry {
  forget(tree, path);
  tree.kinds.delete(path);
  tree.touched.add(path);
  const slash = path.lastIndexOf("/") + 1;
  return entry(`${path.slice(0, slash)}.wh.${path.slice(slash)}`, "0", random);
}

function makeOpaque(tree: Tree, path: string, random: Random): GeneratedEntry[] {
  const directory = place(tree, path, "directory", random);
  forget(tree, path);
  return [directory, entry(`${path}/.wh..wh..opq`, "0", random)];
}

/** What is below a path is gone. */
function forget(tree: Tree, path: string): void {
  for (const other of tree.kinds.keys()) if (other.startsWith(`${path}/`)) tree.kinds.delete(other);
}

function entry(name: string, type: string, random: Random): GeneratedEntry {
  return {
    format: "ustar",
    type,
    name,
    nameStyle: "header",
    linkName: "",
    linkStyle: "header",
    mode: random.pick([0o644, 0o755, 0o700, 0o4755, 0o1777]),
    uid: random.below(3),
    gid: random.below(3),
    numberStyle: "octal",
    seconds: 1e9 + random.below(1e8),
    nanoseconds: 0,
    timeStyle: "octal",
    device: [0, 0],
    content: new Uint8Array(),
    xattrs: [],
    records: [],
    claimedSize: 0,
  };
}

function ancestors(path: string): string[] {
  const parts = path.split("/");
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join("/"));
}
