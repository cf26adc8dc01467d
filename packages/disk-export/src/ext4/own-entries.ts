import type { Entry } from "@lamella/layer-format";

/** Entries that no tree has: what stands behind inodes that only this format has. */
const OWN: Entry = {
  path: "",
  kind: "file",
  mode: 0o600,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: new Map(),
  size: 0,
  linkTarget: "",
  deviceMajor: 0,
  deviceMinor: 0,
  inode: -1,
  links: 1,
  locality: 0,
};

/** A `/lost+found` where the tree has none. */
export function lostAndFoundEntry(path: string, epochSeconds: number): Entry {
  return { ...OWN, path, kind: "directory", mode: 0o700, mtimeSeconds: epochSeconds };
}

/** Contents without a name: the journal, or an xattr's value. */
export function namelessEntry(size: number, epochSeconds: number): Entry {
  return { ...OWN, size, mtimeSeconds: epochSeconds };
}
