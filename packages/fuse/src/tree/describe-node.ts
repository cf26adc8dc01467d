import { displayPath, type Entry, type FileKind } from "@lamella/layer-format";

import { FuseError } from "../errors.js";
import { PROTOCOL } from "../protocol/layout.js";
import type { ByteHeap } from "./byte-heap.js";
import type { TreeIndex } from "./tree-index.js";

const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;
const TYPES: Readonly<Record<FileKind, number>> = PROTOCOL.type;

/** The arrays of an index that is being built. */
export type IndexArrays = Omit<TreeIndex, "totalBytes" | "hasAcls" | "bytes">;

/** Writes down what an inode says, but for its names and directories. */
export function describeNode(index: IndexArrays, node: number, entry: Entry, heap: ByteHeap): void {
  const { kind, size, extents } = entry;
  index.modes[node] = TYPES[kind] | entry.mode;
  index.links[node] = kind === "directory" ? 2 : entry.links;
  index.uids[node] = entry.uid;
  index.gids[node] = entry.gid;
  index.devices[node] = kind === "char" || kind === "block" ? deviceNumber(entry) : 0;
  index.sizes[node] = size;
  index.dataBytes[node] = extents === undefined ? size : extents.reduce((sum, { length }) => sum + length, 0);
  index.seconds[node] = entry.mtimeSeconds;
  index.nanoseconds[node] = entry.mtimeNanoseconds;
  index.targets[node] = kind === "symlink" ? heap.addText(entry.linkTarget) : 0;
  index.xattrs[node] = entry.xattrs.size === 0 ? 0 : addXattrs(entry.xattrs, heap);
}

/** As Linux encodes it for user space: eight bits of the minor, twelve of the major, twelve more of the minor. */
function deviceNumber(entry: Entry): number {
  const { deviceMajor: major, deviceMinor: minor } = entry;
  if (major > MAX_MAJOR || minor > MAX_MINOR)
    throw unsupported(entry, `its device number ${major}:${minor} does not fit into FUSE's 32 bits`);
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

function addXattrs(xattrs: Entry["xattrs"], heap: ByteHeap): number {
  const at = heap.addNumber(xattrs.size);
  for (const [name, value] of xattrs) {
    heap.addNumber(name.length);
    heap.addNumber(value.length);
    heap.addText(name);
    heap.addBytes(value);
  }
  return at;
}

export function unsupported({ path }: Entry, state: string): FuseError {
  return new FuseError("unsupported", `cannot mount "${displayPath(path)}": ${state}`);
}
