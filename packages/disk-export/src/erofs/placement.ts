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
  /** Where the area of shared xattrs begins, a multiple of four. */
  readonly xattrAreaStart: number;
  readonly blockBytes: number;
  /** Of the whole disk. */
  readonly blockCount: number;
}

export interface PlacementOptions {
  /** How many bytes shared xattrs take behind the inodes. */
  xattrAreaLength: number;
  blockBytes?: number;
  /** Where inodes may begin. */
  inodesStart?: number;
  /** No file has an inline tail. */
  wholeBlocks?: boolean;
}

/**
 * Gives every inode its number, its position and its blocks: directories first, then links and devices, then files in the order in
 * which reading them is sequential. The root, which is the first directory of a tree, comes first of all.
 *
 * @throws {DiskExportError} `unsupported` where the disk would have more blocks than 32 bits can number
 */
export function placeInodes(
  tree: readonly ErofsInode[],
  { xattrAreaLength, blockBytes = BLOCK_BYTES, inodesStart = INODES_START, wholeBlocks = false }: PlacementOptions,
): ErofsPlacement {
  const inodes = [
    ...tree.filter(({ directory }) => directory !== undefined),
    ...tree.filter(({ entry, directory }) => directory === undefined && entry.kind !== "file"),
    ...filesInDataOrder(tree),
  ];

  let position = inodesStart;
  for (const [index, inode] of inodes.entries()) {
    inode.number = index + 1;
    const tail = mayHaveTail(inode, wholeBlocks) ? inode.size % blockBytes : 0;
    placeInode(inode, { position, blockBytes, tail });
    position = alignUp(inode.position + headLength(inode) + inode.tailLength, SLOT_BYTES);
  }

  let block = alignUp(position + xattrAreaLength, BLOCK_BYTES) / blockBytes;
  const withBlocks = inodes.filter((inode) => blockCount(inode, blockBytes) > 0);
  for (const inode of withBlocks) {
    inode.block = block;
    block += blockCount(inode, blockBytes);
  }
  if (block > BLOCKS_MAX) {
    throw new DiskExportError(
      "unsupported",
      `cannot make an EROFS disk of ${block} blocks of ${blockBytes} bytes: the limit is ${BLOCKS_MAX}`,
    );
  }
  return { inodes, withBlocks, xattrAreaStart: position, blockBytes, blockCount: block };
}

/** Reading them in this order is sequential. */
export function filesInDataOrder(tree: readonly ErofsInode[]): ErofsInode[] {
  return tree
    .filter(({ entry }) => entry.kind === "file")
    .sort((one, other) => one.entry.locality - other.entry.locality);
}

function mayHaveTail({ entry, compressed, external, shared }: ErofsInode, wholeBlocks: boolean): boolean {
  if (wholeBlocks && entry.kind === "file") return false;
  return compressed === undefined && external === undefined && shared === undefined;
}

/** Decides on an inline tail too: not if going to the next block for it wastes more than a block of its own would. */
function placeInode(
  inode: ErofsInode,
  { position, blockBytes, tail }: { position: number; blockBytes: number; tail: number },
): void {
  const room = alignUp(position + 1, blockBytes) - position;
  const whole = headLength(inode) + tail;
  const fitsHere = whole <= room;
  if (tail > 0 && (fitsHere || (whole <= blockBytes && room + tail <= blockBytes))) {
    inode.tailLength = tail;
    inode.position = fitsHere ? position : position + room;
    return;
  }
  inode.position = INODE_BYTES <= room ? position : position + room;
}
