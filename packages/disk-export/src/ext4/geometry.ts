import type { BlockRange } from "./extents.js";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  DESCRIPTOR_BYTES,
  GROUPS_PER_FLEX,
  INODES_PER_BLOCK,
  INODES_PER_GROUP_MAX,
} from "./layout.js";

const DESCRIPTORS_PER_BLOCK: number = BLOCK_BYTES / DESCRIPTOR_BYTES;
/** As mke2fs does it: room for the descriptors of 1,024 times the size, within what one block of the resize inode's map can list. */
const GROWTH_FACTOR = 1024;
const RESERVED_DESCRIPTOR_BLOCKS_MAX = 1024;
const RESIZE_BLOCKS_MAX: number = 2 ** 32 - 1;
/** A last group with less beside its own metadata is not worth having; mke2fs drops it too. */
const LAST_GROUP_CONTENT_MIN = 50;

/** Where a file system's own blocks lie; it follows from the count of blocks and of inodes alone. */
export interface Geometry {
  readonly blockCount: number;
  readonly groupCount: number;
  readonly inodesPerGroup: number;
  /** Of one group. */
  readonly inodeTableBlocks: number;
  readonly descriptorBlocks: number;
  /** After each copy of the descriptors; with 0 there is no resize inode. */
  readonly reservedDescriptorBlocks: number;
  /** Those that begin with a superblock, ascending from 0. */
  readonly superblockGroups: readonly number[];
  /** Block numbers, by group. */
  readonly blockBitmaps: Float64Array;
  readonly inodeBitmaps: Float64Array;
  readonly inodeTables: Float64Array;
  /** By group, 1 where bitmaps or inode tables of any group lie in it. */
  readonly holdsTables: Uint8Array;
  /** All of the above, ascending, disjoint and merged. */
  readonly reserved: readonly BlockRange[];
  readonly reservedBlockCount: number;
}

/**
 * Lays out the groups of so many blocks with at least so many inodes.
 *
 * The result may be of no use: see {@link leastBlockCount}.
 */
export function layOutGroups(blockCount: number, inodeCount: number): Geometry {
  const groupCount = Math.ceil(blockCount / BLOCKS_PER_GROUP);
  const perGroup = Math.ceil(inodeCount / groupCount / INODES_PER_BLOCK) * INODES_PER_BLOCK;
  const inodesPerGroup = Math.min(perGroup, INODES_PER_GROUP_MAX);
  const inodeTableBlocks = inodesPerGroup / INODES_PER_BLOCK;
  const descriptorBlocks = Math.ceil(groupCount / DESCRIPTORS_PER_BLOCK);
  const reservedDescriptorBlocks = reservedFor(blockCount, descriptorBlocks);
  const superblockGroups = listSuperblockGroups(groupCount);

  const headBlocks = 1 + descriptorBlocks + reservedDescriptorBlocks;
  const heads = superblockGroups.map((group) => ({ start: group * BLOCKS_PER_GROUP, length: headBlocks }));
  const tables = placeTables(groupCount, inodeTableBlocks, new Map(heads.map(({ start }) => [start, headBlocks])));
  const reserved = mergeRanges([...heads, ...tables.ranges]);
  return {
    blockCount,
    groupCount,
    inodesPerGroup,
    inodeTableBlocks,
    descriptorBlocks,
    reservedDescriptorBlocks,
    superblockGroups,
    blockBitmaps: tables.blockBitmaps,
    inodeBitmaps: tables.inodeBitmaps,
    inodeTables: tables.inodeTables,
    holdsTables: tables.holdsTables,
    reserved,
    reservedBlockCount: reserved.reduce((sum, { length }) => sum + length, 0),
  };
}

/** The fewest blocks with which as many groups have room for their own metadata and for `inodeCount` inodes. */
export function leastBlockCount(geometry: Geometry, inodeCount: number): number {
  const { groupCount, superblockGroups } = geometry;
  const groupsForInodes = Math.ceil(inodeCount / INODES_PER_GROUP_MAX);
  if (groupsForInodes > groupCount) return (groupsForInodes - 1) * BLOCKS_PER_GROUP + 1;

  const head =
    superblockGroups.at(-1) === groupCount - 1 ? geometry.descriptorBlocks + geometry.reservedDescriptorBlocks + 1 : 0;
  const bitmaps = 2;
  return (groupCount - 1) * BLOCKS_PER_GROUP + head + bitmaps + geometry.inodeTableBlocks + LAST_GROUP_CONTENT_MIN;
}

/** The first block of a group, and how many it has. */
export function groupRange(geometry: Geometry, group: number): BlockRange {
  const start = group * BLOCKS_PER_GROUP;
  return { start, length: Math.min(BLOCKS_PER_GROUP, geometry.blockCount - start) };
}

function reservedFor(blockCount: number, descriptorBlocks: number): number {
  const grownBlocks = Math.min(blockCount * GROWTH_FACTOR, RESIZE_BLOCKS_MAX);
  const grownDescriptorBlocks = Math.ceil(Math.ceil(grownBlocks / BLOCKS_PER_GROUP) / DESCRIPTORS_PER_BLOCK);
  return Math.min(Math.max(grownDescriptorBlocks - descriptorBlocks, 0), RESERVED_DESCRIPTOR_BLOCKS_MAX);
}

/** `sparse_super`: 0, 1 and the powers of 3, 5 and 7. */
function listSuperblockGroups(groupCount: number): number[] {
  const groups = [0];
  if (groupCount > 1) groups.push(1);
  for (const base of [3, 5, 7]) {
    for (let power = base; power < groupCount; power *= base) groups.push(power);
  }
  return groups.sort((left, right) => left - right);
}

/** Places each flex group's bitmaps and inode tables from its first block on, around the heads that begin at the given blocks. */
function placeTables(groupCount: number, inodeTableBlocks: number, heads: ReadonlyMap<number, number>) {
  const blockBitmaps = new Float64Array(groupCount);
  const inodeBitmaps = new Float64Array(groupCount);
  const inodeTables = new Float64Array(groupCount);
  const holdsTables = new Uint8Array(groupCount);
  const ranges: BlockRange[] = [];
  let next = 0;

  function take(length: number): number {
    const lastGroup = Math.floor((next + length - 1) / BLOCKS_PER_GROUP);
    const head = lastGroup * BLOCKS_PER_GROUP;
    const headEnd = head + (heads.get(head) ?? 0);
    if (next < headEnd) next = headEnd;
    const start = next;
    next += length;
    ranges.push({ start, length });
    holdsTables[Math.floor(start / BLOCKS_PER_GROUP)] = 1;
    holdsTables[Math.floor((next - 1) / BLOCKS_PER_GROUP)] = 1;
    return start;
  }

  for (let first = 0; first < groupCount; first += GROUPS_PER_FLEX) {
    const end = Math.min(first + GROUPS_PER_FLEX, groupCount);
    next = first * BLOCKS_PER_GROUP;
    for (let group = first; group < end; group++) blockBitmaps[group] = take(1);
    for (let group = first; group < end; group++) inodeBitmaps[group] = take(1);
    for (let group = first; group < end; group++) inodeTables[group] = take(inodeTableBlocks);
  }
  return { blockBitmaps, inodeBitmaps, inodeTables, holdsTables, ranges };
}

function mergeRanges(ranges: BlockRange[]): BlockRange[] {
  const merged: { start: number; length: number }[] = [];
  for (const { start, length } of ranges.sort((left, right) => left.start - right.start)) {
    const last = merged.at(-1);
    if (last !== undefined && last.start + last.length === start) last.length += length;
    else merged.push({ start, length });
  }
  return merged;
}
