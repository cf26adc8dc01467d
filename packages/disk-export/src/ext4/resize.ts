import type { Geometry } from "./geometry.js";
import { sealInode, writeInodeHeader } from "./inode.js";
import { BLOCK_BYTES, BLOCKS_PER_GROUP, INODE, RESIZE_INODE } from "./layout.js";
import { createScratch } from "./scratch.js";
import type { Scratch } from "./scratch.js";

/*
 * Inode 7 owns the blocks that are reserved for more descriptors, so that growing a mounted file system finds them. It is mapped the
 * old way: its double-indirect block lists the reserved blocks of group 0, and each of these lists its copies in the other groups that
 * have a superblock.
 *
 *   inode 7 -> map [0 .. 1023] -> reserved block of group 0 [0 ..] -> the same of groups 1, 3, 5, 7, 9 ...
 */
const NUMBERS_PER_BLOCK: number = BLOCK_BYTES / 4;
const DIRECT_BLOCKS = 12;
const DOUBLE_INDIRECT = 13;
const SIZE_BYTES: number = (NUMBERS_PER_BLOCK ** 2 + NUMBERS_PER_BLOCK + DIRECT_BLOCKS) * BLOCK_BYTES;
const MODE = 0o100600;

/** Writes inode 7 into 256 zeroed bytes at `at`; `mapBlock` is where {@link encodeResizeMap}'s bytes are. */
export function writeResizeInode(
  scratch: Scratch,
  at: number,
  facts: { geometry: Geometry; mapBlock: number; epochSeconds: number; seed: number },
): void {
  const { reservedDescriptorBlocks, superblockGroups } = facts.geometry;
  writeInodeHeader(scratch, at, {
    mode: MODE,
    uid: 0,
    gid: 0,
    sizeBytes: SIZE_BYTES,
    mtimeSeconds: facts.epochSeconds,
    mtimeNanoseconds: 0,
    links: 1,
    blockCount: 1 + reservedDescriptorBlocks * superblockGroups.length,
    flags: 0,
    xattrBlock: 0,
  });
  scratch.view.setUint32(at + INODE.blocks + DOUBLE_INDIRECT * 4, facts.mapBlock, true);
  sealInode(scratch, at, RESIZE_INODE, facts.seed);
}

/** The double-indirect block. A reserved block's place in it is the one that it would have among the descriptors. */
export function encodeResizeMap({ descriptorBlocks, reservedDescriptorBlocks }: Geometry): Uint8Array {
  const { bytes, view } = createScratch(BLOCK_BYTES);
  for (let index = 0; index < reservedDescriptorBlocks; index++) {
    const place = (descriptorBlocks + index) % NUMBERS_PER_BLOCK;
    view.setUint32(place * 4, reservedBlock(descriptorBlocks, index), true);
  }
  return bytes;
}

/** `count` of group 0's reserved blocks from number `first` on. */
export function encodeReservedBlocks(geometry: Geometry, first: number, count: number): Uint8Array {
  const { bytes, view } = createScratch(count * BLOCK_BYTES);
  const backups = geometry.superblockGroups.slice(1);
  for (let index = 0; index < count; index++) {
    const block = reservedBlock(geometry.descriptorBlocks, first + index);
    backups.forEach((group, copy) => {
      view.setUint32(index * BLOCK_BYTES + copy * 4, block + group * BLOCKS_PER_GROUP, true);
    });
  }
  return bytes;
}

/** Block 0 is the superblock's, then come the descriptors. */
function reservedBlock(descriptorBlocks: number, index: number): number {
  return 1 + descriptorBlocks + index;
}
