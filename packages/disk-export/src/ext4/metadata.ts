import type { Segment } from "../disk-plan.js";
import type { Geometry } from "./geometry.js";
import type { Groups } from "./groups.js";
import { writeInode } from "./inode.js";
import type { Inode } from "./inode.js";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  INODE_BYTES,
  INODES_PER_BLOCK,
  JOURNAL_INODE,
  RESIZE_INODE,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSET,
} from "./layout.js";
import { encodeReservedBlocks, writeResizeInode } from "./resize.js";
import { createScratch } from "./scratch.js";
import { encodeSuperblock } from "./superblock.js";
import type { Volume } from "./superblock.js";
import type { InodeTable } from "./tree.js";

/** Metadata is made at most this many blocks at a time. */
const BLOCKS_AT_ONCE = 64;

export interface Metadata {
  readonly geometry: Geometry;
  readonly groups: Groups;
  readonly inodes: InodeTable;
  readonly volume: Volume;
  readonly seed: number;
  /** The resize inode's double-indirect block; undefined without a resize inode. */
  readonly resizeMapBlock: number | undefined;
  /** Placed. */
  readonly journal: Inode | undefined;
}

/** Everything in the file system's own blocks that is not zeros, in no order. */
export function listMetadata(metadata: Metadata): Segment[] {
  const segments: Segment[] = [];
  const { geometry, groups } = metadata;
  for (const group of geometry.superblockGroups) addHead(segments, metadata, group);
  for (let group = 0; group < geometry.groupCount; group++) {
    const blockBitmap = groups.blockBitmap(group);
    const inodeBitmap = groups.inodeBitmap(group);
    if (blockBitmap) segments.push(blockSegment(geometry.blockBitmaps[group]!, blockBitmap));
    if (inodeBitmap) segments.push(blockSegment(geometry.inodeBitmaps[group]!, inodeBitmap));
    addInodeTable(segments, metadata, group);
  }
  return segments;
}

function blockSegment(block: number, bytes: () => Uint8Array): Segment {
  return { offset: block * BLOCK_BYTES, length: BLOCK_BYTES, bytes };
}

/** Superblock, descriptors and, in group 0, the lists of reserved blocks (which are empty where there are no copies). */
function addHead(segments: Segment[], { geometry, groups, volume }: Metadata, group: number): void {
  const { descriptorBlocks, reservedDescriptorBlocks, superblockGroups } = geometry;
  const start = group * BLOCKS_PER_GROUP;
  const bytes = (): Uint8Array => encodeSuperblock(volume, geometry, groups, group);
  segments.push({
    offset: start * BLOCK_BYTES + (group === 0 ? SUPERBLOCK_OFFSET : 0),
    length: SUPERBLOCK_BYTES,
    bytes,
  });
  for (const { first, count } of pieces(descriptorBlocks)) {
    const from = first * BLOCK_BYTES;
    const length = count * BLOCK_BYTES;
    const offset = (start + 1) * BLOCK_BYTES + from;
    segments.push({ offset, length, bytes: () => groups.descriptors().subarray(from, from + length) });
  }
  if (group !== 0 || superblockGroups.length === 1) return;
  for (const { first, count } of pieces(reservedDescriptorBlocks)) {
    const offset = (1 + descriptorBlocks + first) * BLOCK_BYTES;
    segments.push({ offset, length: count * BLOCK_BYTES, bytes: () => encodeReservedBlocks(geometry, first, count) });
  }
}

function addInodeTable(segments: Segment[], metadata: Metadata, group: number): void {
  const { geometry, groups } = metadata;
  const usedBlocks = Math.ceil(groups.usedInodes(group) / INODES_PER_BLOCK);
  for (const { first, count } of pieces(usedBlocks)) {
    const firstInode = 1 + group * geometry.inodesPerGroup + first * INODES_PER_BLOCK;
    segments.push({
      offset: (geometry.inodeTables[group]! + first) * BLOCK_BYTES,
      length: count * BLOCK_BYTES,
      bytes: () => encodeInodes(metadata, firstInode, count * INODES_PER_BLOCK),
    });
  }
}

function encodeInodes(metadata: Metadata, firstInode: number, count: number): Uint8Array {
  const { geometry, inodes, volume, seed, resizeMapBlock, journal } = metadata;
  const scratch = createScratch(count * INODE_BYTES);
  for (let index = 0; index < count; index++) {
    const number = firstInode + index;
    const inode = number === JOURNAL_INODE ? journal : inodes[number];
    const at = index * INODE_BYTES;
    if (inode !== undefined) writeInode(scratch, at, inode, seed);
    else if (number === RESIZE_INODE && resizeMapBlock !== undefined) {
      writeResizeInode(scratch, at, { geometry, mapBlock: resizeMapBlock, epochSeconds: volume.epochSeconds, seed });
    }
  }
  return scratch.bytes;
}

function* pieces(blockCount: number): Generator<{ first: number; count: number }> {
  for (let first = 0; first < blockCount; first += BLOCKS_AT_ONCE) {
    yield { first, count: Math.min(BLOCKS_AT_ONCE, blockCount - first) };
  }
}
