import { writeByteString, writeInt64 } from "../byte-layout.js";
import { writeIndex } from "./compression/compressed-index.js";
import { writeDirents } from "./directory.js";
import { attributesLength, blockCount, headLength } from "./inode.js";
import type { ErofsInode } from "./inode.js";
import { writeChunkIndexes } from "./layers/external-data.js";
import {
  CHUNK_INDEXES,
  FORMAT_CHUNKED,
  FORMAT_COMPRESSED,
  FORMAT_INLINE_TAIL,
  FORMAT_PLAIN,
  INODE,
  INODE_BYTES,
  NO_BLOCK,
  XATTR_HEADER_BYTES,
} from "./layout.js";
import { writeChunkMap } from "./dedupe/shared-data.js";
import type { XattrTable } from "./xattr.js";
import { fileMode, isDevice } from "../file-mode.js";

/** How many bytes {@link writeInode} makes: all but a file's inline tail. */
export function recordLength(inode: ErofsInode): number {
  return headLength(inode) + (inode.entry.kind === "file" ? 0 : inode.tailLength);
}

export interface WriteInodeOptions {
  readonly xattrs: XattrTable;
  /** Where the area of shared xattrs begins on the disk. */
  readonly xattrAreaStart: number;
  readonly blockBytes: number;
}

/** A record begins at a multiple of 32, in `target` as on the disk. */
export function writeInode(
  inode: ErofsInode,
  target: Uint8Array,
  at: number,
  { xattrs, xattrAreaStart, blockBytes }: WriteInodeOptions,
): void {
  const { entry, xattrsLength, tailLength, directory } = inode;
  const view = new DataView(target.buffer, target.byteOffset + at, INODE_BYTES);
  view.setUint16(INODE.format, dataFormat(inode), true);
  view.setUint16(INODE.xattrCount, xattrsLength > 0 ? 1 + (xattrsLength - XATTR_HEADER_BYTES) / 4 : 0, true);
  view.setUint16(INODE.mode, fileMode(entry), true);
  writeInt64(view, INODE.size, inode.size);
  view.setUint32(INODE.union, unionField(inode, blockBytes), true);
  view.setUint32(INODE.number, inode.number, true);
  view.setUint32(INODE.uid, entry.uid, true);
  view.setUint32(INODE.gid, entry.gid, true);
  writeInt64(view, INODE.mtime, entry.mtimeSeconds);
  view.setUint32(INODE.mtimeNanoseconds, entry.mtimeNanoseconds, true);
  view.setUint32(INODE.links, inode.links, true);

  if (xattrsLength > 0) xattrs.write(entry, xattrAreaStart, target, at + INODE_BYTES);
  if (inode.compressed !== undefined) {
    const { size, compressed, block } = inode;
    writeIndex({ size, compressed, block }, target, at + attributesLength(inode));
  }
  if (inode.external !== undefined) writeChunkIndexes(inode.external, target, at + attributesLength(inode));
  if (inode.shared !== undefined) writeChunkMap(inode.shared, target, at + attributesLength(inode));
  if (tailLength === 0) return;
  const tailStart = at + headLength(inode);
  if (directory !== undefined) writeDirents(directory, directory.blockStarts.length - 1, target, tailStart);
  else if (entry.kind === "symlink") writeByteString(entry.linkTarget.slice(-tailLength), target, tailStart);
}

function dataFormat({ compressed, external, shared, tailLength }: ErofsInode): number {
  if (external !== undefined || shared?.chunkBits !== undefined) return FORMAT_CHUNKED;
  if (compressed !== undefined) return FORMAT_COMPRESSED;
  return tailLength > 0 ? FORMAT_INLINE_TAIL : FORMAT_PLAIN;
}

function unionField(inode: ErofsInode, blockBytes: number): number {
  const { entry, compressed, external, shared } = inode;
  if (external !== undefined) return CHUNK_INDEXES | external.chunkBits;
  if (shared !== undefined) return shared.chunkBits ?? shared.space.block(shared.positions[0]!);
  if (compressed !== undefined) return compressed.blocks;
  if (isDevice(entry)) return encodeDevice(entry.deviceMajor, entry.deviceMinor);
  if (entry.kind === "fifo" || entry.kind === "socket") return 0;
  return blockCount(inode, blockBytes) > 0 ? inode.block : NO_BLOCK;
}

/** Linux's `new_encode_dev`: minor 0 to 7, major, minor 8 to 19. */
function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
