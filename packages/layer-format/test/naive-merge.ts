import type { LayerEntry } from "../src/layer.js";

interface NaiveInode {
  readonly kind: string;
  mode: number;
}

interface NaiveName {
  inode: NaiveInode;
  layer: number;
}

/**
 * A merge over flat paths, slow and without symlinks as parents, to hold the real one against.
 * @returns a line a name, as `describeTree` makes them, or undefined if the layers must be refused.
 */
export function naiveMerge(layers: readonly (readonly LayerEntry[])[]): string[] | undefined {
  const names = new Map<string, NaiveName>();
  for (const [layer, entries] of layers.entries()) {
    for (const entry of entries) {
      if (!apply(names, entry, layer)) return undefined;
    }
  }
  return [...names]
    .toSorted(([a], [b]) => (order(a) < order(b) ? -1 : 1))
    .map(([path, { inode }]) => {
      const others = [...names].filter(([, other]) => other.inode === inode).map(([other]) => other);
      return naiveLine(path, inode.kind, inode.mode, others);
    });
}

/** Sorts as a walk does: what is below a directory before what only begins with its name. */
function order(path: string): string {
  return path.split("/").join("\0");
}

export function naiveLine(path: string, kind: string, mode: number, sameInode: readonly string[]): string {
  return `${path} ${kind} ${mode.toString(8)} = ${sameInode.toSorted().join(" ")}`;
}

function apply(names: Map<string, NaiveName>, entry: LayerEntry, layer: number): boolean {
  const { path, kind } = entry;
  if (kind === "whiteout") return !belowFile(names, path) && remove(names, path, layer, true);
  if (kind === "opaque") return !belowFile(names, `${path}/x`) && remove(names, path, layer, false);
  const parents = ancestors(path);
  if (belowFile(names, path)) return false;
  for (const parent of parents) {
    if (!names.has(parent)) names.set(parent, { inode: { kind: "directory", mode: 0o755 }, layer });
  }
  const there = names.get(path);
  if (kind === "directory" && there?.inode.kind === "directory") {
    there.inode.mode = entry.mode;
    there.layer = layer;
    return true;
  }
  for (const other of names.keys()) if (other === path || other.startsWith(`${path}/`)) names.delete(other);
  if (kind !== "hardlink") {
    names.set(path, { inode: { kind, mode: entry.mode }, layer });
    return true;
  }
  const target = names.get(entry.linkTarget);
  if (target === undefined || target.inode.kind === "directory") return false;
  target.inode.mode = entry.mode;
  names.set(path, { inode: target.inode, layer });
  return true;
}

function remove(names: Map<string, NaiveName>, path: string, layer: number, itself: boolean): boolean {
  for (const other of names.keys()) {
    if (!other.startsWith(`${path}/`) && !(itself && other === path)) continue;
    const name = names.get(other);
    if (name === undefined || name.layer === layer) continue;
    const keeps = [...names].some(([deeper, { layer: from }]) => deeper.startsWith(`${other}/`) && from === layer);
    if (keeps) names.set(other, { inode: { kind: "directory", mode: 0o755 }, layer });
    else names.delete(other);
  }
  return true;
}

function belowFile(names: Map<string, NaiveName>, path: string): boolean {
  return ancestors(path).some((parent) => (names.get(parent)?.inode.kind ?? "directory") !== "directory");
}

function ancestors(path: string): string[] {
  const parts = path.split("/");
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join("/"));
}
