import type { Entry } from "@lamella/layer-format";

import { BLOCK_BYTES, INODE_BYTES, SLOT_BYTES } from "./layout.js";

/** What a directory holds. The names are in byte order; once sealed, `.` and `..` are among them. */
export interface ErofsDirectory {
  readonly names: string[];
  /** The inode of each name. */
  readonly inodes: ErofsInode[];
  /** For each block, the index of its first name. */
  readonly blockStarts: number[];
}

/** One inode, filled in step by step: what it is, then where it lies, then where its blocks lie. */
export interface ErofsInode {
  /** The first of its names. */
  readonly entry: Entry;
  readonly directory: ErofsDirectory | undefined;
  links: number;
  /** Bytes of data: a file's, a link's target or a directory's entries; 0 for every other kind. */
  size: number;
  readonly xattrsLength: number;
  /** From 1, dense, in the order of the inodes on the disk. */
  number: number;
  /** Byte offset on the disk, a multiple of 32. */
  position: number;
  /** How many of the last bytes of data follow the inode; the others are in blocks. */
  tailLength: number;
  block: number;
}

export function inodeNid(inode: ErofsInode): number {
  return inode.position / SLOT_BYTES;
}

/** How many bytes come before the inline tail. */
export function headLength(inode: ErofsInode): number {
  return INODE_BYTES + inode.xattrsLength;
}

/** How many blocks the data takes beside an inline tail. */
export function blockCount(inode: ErofsInode): number {
  return Math.ceil((inode.size - inode.tailLength) / BLOCK_BYTES);
}
