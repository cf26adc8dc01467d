import type { Entry, FileTree } from "@lamella/layer-format";
import { byteString } from "@lamella/layer-format";
import { memoryTree, type MemoryTreeSpec } from "@lamella/layer-format/testing";

/** One of each kind, and what is odd about them. */
export const SAMPLE: MemoryTreeSpec = [
  { path: "", kind: "directory", mode: 0o1777, uid: 7, gid: 8, mtime: 1_700_000_000 },
  { path: "dir", kind: "directory", xattrs: { "trusted.overlay.opaque": "y", "user.note": "of a directory" } },
  { path: "dir/file", content: "some content", mode: 0o4755, uid: 1000, gid: 0xfffffffe },
  { path: "dir/sub", kind: "directory", mode: 0o2750 },
  { path: byteString("dir/sub/ü\n"), content: "" },
  { path: "dir/sub/\xff\xfe", content: "not text" },
  { path: "dir.after", content: "sorts before dir/", mtime: { seconds: -5, nanoseconds: 7 } },
  { path: "link", linkTarget: "dir/\xfftarget", mtime: 2 ** 33 },
  { path: "name", content: "linked" },
  { path: "other name", hardlinkTo: "name" },
  { path: "null", kind: "char", device: { major: 0, minor: 0 } },
  { path: "disk", kind: "block", device: { major: 0xfff, minor: 0xfffff } },
  { path: "pipe", kind: "fifo" },
  { path: "socket", kind: "socket" },
  {
    path: "huge",
    content: { size: 5 * 2 ** 30 + 3, fill: 9 },
    extents: [{ offset: 2 ** 32, length: 1024 }],
  },
];

export function sampleTree(): FileTree {
  return memoryTree(SAMPLE);
}

/** A tree that is only listed, as it is told: whether or not it keeps to the rules. */
export function listedTree(
  entries: readonly (Partial<Entry> & { path: string })[],
  counts: Partial<FileTree> = {},
): FileTree {
  const all = entries.map((entry, inode): Entry => ({
    kind: entry.path === "" ? "directory" : "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    xattrs: new Map(),
    size: 0,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    inode,
    links: 1,
    locality: 0,
    ...entry,
  }));
  return {
    entryCount: all.length,
    inodeCount: all.length,
    async *entries() {
      yield* all;
    },
    lookup: async (path) => all.find((entry) => entry.path === path),
    async *read() {},
    [Symbol.asyncDispose]: async () => {},
    ...counts,
  };
}
