import type { Entry } from "@lamella/layer-format";

import { indexLength } from "./compression/compressed-index.js";
import { chunkIndexesLength } from "./layers/external-data.js";
import type { ExternalData } from "./layers/external-data.js";
import { BLOCK_BYTES, INODE_BYTES, SLOT_BYTES } from "./layout.js";
import { chunkMapLength } from "./dedupe/shared-data.js";
import type { SharedData } from "./dedupe/shared-data.js";

/** What a directory holds. The names are in byte order; once sealed, `.` and `..` are among them. */
export interface ErofsDirectory {
  readonly names: string[];
  /** The inode of each name. */
  readonly inodes: ErofsInode[];
  /** For each block, the index of its first name. */
  readonly blockStarts: number[];
}

/** A file's data as it is kept for the disk. */
export interface CompressedFile {
  /** `Z_EROFS_COMPRESSION_*` */
  readonly algorithm: number;
  /** Two numbers for each: bytes of the file, and blocks of the disk, where 0 stands for one block of uncompressed bytes. */
  readonly extents: readonly number[];
  readonly blocks: number;
  /** Where its blocks lie in the spool. */
  readonly spoolOffset: number;
}

/** One inode, filled in step by step: what it is, then where it lies, then where its blocks lie. */
export interface ErofsInode {
  /** The first of its names. */
  readonly entry: Entry;
  readonly directory: ErofsDirectory | undefined;
  links: number;
  /** Bytes of data: a file's, a link's target or a directory's entries; 0 for every other kind. */
  size: number;
  /** Set once all inodes are known: some xattrs are shared. */
  xattrsLength: number;
  /** From 1, dense, in the order of the inodes on the disk. */
  number: number;
  /** Byte offset on the disk, a multiple of 32. */
  position: number;
  /** How many of the last bytes of data follow the inode; the others are in blocks. */
  tailLength: number;
  block: number;
  /** Of a file that is kept compressed; it has no inline tail. */
  compressed: CompressedFile | undefined;
  /** Of a file whose data lies on another device; it has no inline tail. */
  external: ExternalData | undefined;
  /** Of a file that has blocks in common with others; it has no inline tail. */
  shared: SharedData | undefined;
}

export function inodeNid(inode: ErofsInode): number {
  return inode.position / SLOT_BYTES;
}

/** How many bytes come before the inline tail, or there are at all where there is none. */
export function headLength(inode: ErofsInode): number {
  const length = attributesLength(inode);
  if (inode.external !== undefined) return length + chunkIndexesLength(length, inode.external);
  if (inode.shared !== undefined) return length + chunkMapLength(inode.shared);
  return inode.compressed === undefined ? length : length + indexLength(length, inode.size);
}

/** The inode and its xattrs. */
export function attributesLength(inode: ErofsInode): number {
  return INODE_BYTES + inode.xattrsLength;
}

/** How many blocks the data takes beside an inline tail. */
export function blockCount(inode: ErofsInode, blockBytes: number = BLOCK_BYTES): number {
  if (inode.external !== undefined) return 0;
  if (inode.shared !== undefined) return inode.shared.ownBlocks;
  if (inode.compressed !== undefined) return inode.compressed.blocks;
  return Math.ceil((inode.size - inode.tailLength) / blockBytes);
}
