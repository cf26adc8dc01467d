import { alignUp } from "../byte-layout.js";
import { blockCount, headLength } from "./inode.js";
import type { ErofsInode } from "./inode.js";
import { BLOCK_BYTES, BLOCKS_MAX, INODE_BYTES, INODES_START, SLOT_BYTES } from "./layout.js";
import { DiskExportError } from "../errors.js";

export interface ErofsPlacement {
  /** As they lie on the disk. */
  readonly inodes: readonly ErofsInode[];
  /** Those with blocks, as their blocks lie on the disk. */
  readonly withBlocks: readonly ErofsInode[];
  /** Of the whole disk. */
  readonly blockCount: number;
}

/**
 * Gives every inode its number, its position and its blocks: directories first, then links and devices, then files in the order in
 * which reading them is sequential. The root, which is the first directory of a tree, comes first of all.
 *
 * @throws {DiskExportError} `unsupported` where the disk would have more blocks than 32 bits can number
 */
export function placeInodes(tree: readonly ErofsInode[]): ErofsPlacement {
  const files = tree
    .filter(({ entry }) => entry.kind === "file")
    .sort((one, other) => one.entry.locality - other.entry.locality);
  const inodes = [
    ...tree.filter(({ directory }) => directory !== undefined),
    ...tree.filter(({ entry, directory }) => directory === undefined && entry.kind !== "file"),
    ...files,
  ];

  let position = INODES_START;
  for (const [index, inode] of inodes.entries()) {
    inode.number = index + 1;
    placeInode(inode, position);
    position = alignUp(inode.position + headLength(inode) + inode.tailLength, SLOT_BYTES);
  }

  let block = alignUp(position, BLOCK_BYTES) / BLOCK_BYTES;
  const withBlocks = inodes.filter((inode) => blockCount(inode) > 0);
  for (const inode of withBlocks) {
    inode.block = block;
    block += blockCount(inode);
  }
  if (block > BLOCKS_MAX) {
    throw new DiskExportError(
      "unsupported",
      `cannot make an EROFS disk of ${block} blocks of ${BLOCK_BYTES} bytes: the limit is ${BLOCKS_MAX}`,
    );
  }
  return { inodes, withBlocks, blockCount: block };
}

/** Decides on an inline tail too: not if going to the next block for it wastes more than a block of its own would. */
function placeInode(inode: ErofsInode, position: number): void {
  const room = alignUp(position + 1, BLOCK_BYTES) - position;
  const tail = inode.size % BLOCK_BYTES;
  const whole = headLength(inode) + tail;
  const fitsHere = whole <= room;
  if (tail > 0 && (fitsHere || (whole <= BLOCK_BYTES && room + tail <= BLOCK_BYTES))) {
    inode.tailLength = tail;
    inode.position = fitsHere ? position : position + room;
    return;
  }
  inode.position = INODE_BYTES <= room ? position : position + room;
}
