import { writeByteString } from "../byte-layout.js";
import { writeDirents } from "./directory.js";
import { blockCount, headLength } from "./inode.js";
import type { ErofsInode } from "./inode.js";
import { FORMAT_INLINE_TAIL, FORMAT_PLAIN, INODE, INODE_BYTES, NO_BLOCK, XATTR_HEADER_BYTES } from "./layout.js";
import { writeXattrs } from "./xattr.js";
import { fileMode, isDevice } from "../file-mode.js";

/** How many bytes {@link writeInode} makes: all but a file's inline tail. */
export function recordLength(inode: ErofsInode): number {
  return headLength(inode) + (inode.entry.kind === "file" ? 0 : inode.tailLength);
}

export function writeInode(inode: ErofsInode, target: Uint8Array, at: number): void {
  const { entry, xattrsLength, tailLength, directory } = inode;
  const view = new DataView(target.buffer, target.byteOffset + at, INODE_BYTES);
  view.setUint16(INODE.format, tailLength > 0 ? FORMAT_INLINE_TAIL : FORMAT_PLAIN, true);
  view.setUint16(INODE.xattrCount, xattrsLength > 0 ? 1 + (xattrsLength - XATTR_HEADER_BYTES) / 4 : 0, true);
  view.setUint16(INODE.mode, fileMode(entry), true);
  view.setBigUint64(INODE.size, BigInt(inode.size), true);
  view.setUint32(INODE.union, unionField(inode), true);
  view.setUint32(INODE.number, inode.number, true);
  view.setUint32(INODE.uid, entry.uid, true);
  view.setUint32(INODE.gid, entry.gid, true);
  view.setBigInt64(INODE.mtime, BigInt(entry.mtimeSeconds), true);
  view.setUint32(INODE.mtimeNanoseconds, entry.mtimeNanoseconds, true);
  view.setUint32(INODE.links, inode.links, true);

  if (xattrsLength > 0) writeXattrs(entry, target, at + INODE_BYTES);
  if (tailLength === 0) return;
  const tailStart = at + headLength(inode);
  if (directory !== undefined) writeDirents(directory, directory.blockStarts.length - 1, target, tailStart);
  else if (entry.kind === "symlink") writeByteString(entry.linkTarget, target, tailStart);
}

function unionField(inode: ErofsInode): number {
  const { entry } = inode;
  if (isDevice(entry)) return encodeDevice(entry.deviceMajor, entry.deviceMinor);
  if (entry.kind === "fifo" || entry.kind === "socket") return 0;
  return blockCount(inode) > 0 ? inode.block : NO_BLOCK;
}

/** Linux's `new_encode_dev`: minor 0 to 7, major, minor 8 to 19. */
function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
