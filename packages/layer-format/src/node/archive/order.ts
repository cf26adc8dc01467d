import type { LayerEntry, LayerEntryKind } from "../../layer.js";
import { cleanPath } from "../../tar/path.js";
import { kindRank } from "./layout.js";

/** Entries by position, and their positions in canonical order. */
export interface OrderedEntries {
  readonly order: Uint32Array;
  path(position: number): string;
  kind(position: number): LayerEntryKind;
  entry(position: number): LayerEntry;
}

/**
 * Whether the order of a layer's entries may change what the layer does, on any layers below. It does not where
 *
 * 1. each entry's parent, and the directory of each opaque marker, is the root or is stated before as a directory, so that no
 *    symlink of any layer leads elsewhere;
 * 2. a path that is stated several times is a directory each time or never: the last one wins, and those keep their order;
 * 3. each hard link comes after its target, which the layer states once and not as a directory, and says the same of the inode.
 *
 * Markers act on lower layers only, wherever they stand.
 */
export function orderMatters(entries: OrderedEntries): boolean {
  const directories = statedDirectories(entries);
  if (directories === undefined) return true;
  let parent = "";
  let parentAt = -1;
  for (const position of entries.order) {
    const path = entries.path(position);
    const kind = entries.kind(position);
    const end = kind === "opaque" ? path.length : Math.max(0, path.lastIndexOf("/"));
    // Siblings mostly follow each other.
    if (parent.length !== end || !path.startsWith(parent)) {
      parent = path.slice(0, end);
      parentAt = parent === "" ? -1 : (directories.get(parent) ?? Infinity);
    }
    if (parentAt > position) return true;
    if (kind === "hardlink" && !isPlainLink(entries, position)) return true;
  }
  return false;
}

/** Where each directory is first stated; undefined if a path is stated as a directory and as something else. */
function statedDirectories(entries: OrderedEntries): Map<string, number> | undefined {
  const directories = new Map<string, number>();
  let last: string | undefined;
  let wasDirectory = false;
  for (const position of entries.order) {
    const kind = entries.kind(position);
    if (kindRank(kind) > 0) continue;
    const path = entries.path(position);
    const isDirectory = kind === "directory";
    if (path === last && isDirectory !== wasDirectory) return undefined;
    if (isDirectory && path !== last) directories.set(path, position);
    last = path;
    wasDirectory = isDirectory;
  }
  return directories;
}

function isPlainLink(entries: OrderedEntries, position: number): boolean {
  const link = entries.entry(position);
  // Where `..` leads depends on symlinks.
  if (link.linkTarget.split("/").includes("..")) return false;
  const target = cleanPath(link.linkTarget);
  const first = firstOf(entries, target);
  const at = entries.order[first];
  if (at === undefined || entries.path(at) !== target || at > position) return false;
  const next = entries.order[first + 1];
  if (next !== undefined && entries.path(next) === target && kindRank(entries.kind(next)) === 0) return false;
  const there = entries.entry(at);
  return kindRank(there.kind) === 0 && there.kind !== "directory" && saysTheSame(link, there);
}

/** The first place in canonical order that is not before `path`. */
function firstOf(entries: OrderedEntries, path: string): number {
  let low = 0;
  let high = entries.order.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries.path(entries.order[middle] ?? 0) < path) low = middle + 1;
    else high = middle;
  }
  return low;
}

function saysTheSame(link: LayerEntry, target: LayerEntry): boolean {
  for (const [name, value] of link.xattrs) {
    const there = target.xattrs.get(name);
    if (there === undefined || Buffer.compare(there, value) !== 0) return false;
  }
  return (
    link.mode === target.mode &&
    link.uid === target.uid &&
    link.gid === target.gid &&
    link.mtimeSeconds === target.mtimeSeconds &&
    link.mtimeNanoseconds === target.mtimeNanoseconds
  );
}
