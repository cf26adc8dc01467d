import type { Entry, FileTree } from "@lamella/layer-format";

/** A tree that says whatever it is told, also what no real one may: `read` gives each of `chunks`, whatever was asked for. */
export function handMadeTree(described: readonly Partial<Entry>[], chunks: readonly Uint8Array[] = []): FileTree {
  const entries = described.map((entry, inode) => ({ ...BLANK, inode, ...entry }));
  return {
    entryCount: entries.length,
    inodeCount: entries.length,
    async *entries() {
      yield* entries;
    },
    lookup: (path) => Promise.resolve(entries.find((entry) => entry.path === path)),
    async *read() {
      yield* chunks;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

export const ROOT: Partial<Entry> = { path: "", kind: "directory" };

const BLANK: Entry = {
  path: "",
  kind: "file",
  mode: 0,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: new Map(),
  size: 0,
  linkTarget: "",
  deviceMajor: 0,
  deviceMinor: 0,
  inode: 0,
  links: 1,
  locality: 0,
};
