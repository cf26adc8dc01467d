import { crc32c } from "../crc32c.js";
import { checksumNumber } from "./checksum.js";
import { groupRange } from "./geometry.js";
import type { Geometry } from "./geometry.js";
import { BLOCK_BYTES, BLOCKS_PER_GROUP, DESCRIPTOR, DESCRIPTOR_BYTES, GROUP_FLAG } from "./layout.js";
import { createScratch } from "./scratch.js";
import type { Scratch } from "./scratch.js";
import type { InodeTable } from "./tree.js";

/** What is in use once everything is placed. */
export interface Usage {
  readonly geometry: Geometry;
  readonly inodes: InodeTable;
  /** Every block before it that is not reserved has contents, none after. */
  readonly contentsEnd: number;
  readonly seed: number;
}

/** The groups of a file system as their bitmaps and descriptors show them. */
export interface Groups {
  readonly freeBlockCount: number;
  readonly freeInodeCount: number;
  /** Undefined for a group of which it need not be written: nobody reads it. */
  blockBitmap(group: number): (() => Uint8Array) | undefined;
  inodeBitmap(group: number): (() => Uint8Array) | undefined;
  /** How many inodes of the group's table are used; they are its first. */
  usedInodes(group: number): number;
  /** Whole blocks of descriptors, all of them. Made once. */
  descriptors(): Uint8Array;
}

export function createGroups(usage: Usage): Groups {
  const { geometry, inodes } = usage;
  const { groupCount, inodesPerGroup } = geometry;
  const freeBlocks = Float64Array.from({ length: groupCount }, (_, group) => countFreeBlocks(usage, group));
  let table: Uint8Array | undefined;

  const groups: Groups = {
    freeBlockCount: freeBlocks.reduce((sum, count) => sum + count, 0),
    freeInodeCount: groupCount * inodesPerGroup - (inodes.length - 1),
    blockBitmap: (group) => (isBlockUninit(usage, group) ? undefined : () => makeBlockBitmap(usage, group)),
    inodeBitmap(group) {
      const used = groups.usedInodes(group);
      return used === 0 ? undefined : () => makeInodeBitmap(inodesPerGroup, used);
    },
    usedInodes: (group) => Math.min(Math.max(inodes.length - 1 - group * inodesPerGroup, 0), inodesPerGroup),
    descriptors() {
      table ??= makeDescriptors(usage, groups, freeBlocks);
      return table;
    },
  };
  return groups;
}

function makeDescriptors({ geometry, inodes, seed }: Usage, groups: Groups, freeBlocks: Float64Array): Uint8Array {
  const scratch = createScratch(geometry.descriptorBlocks * BLOCK_BYTES);
  const directories = countDirectories(inodes, geometry);
  for (let group = 0; group < geometry.groupCount; group++) {
    writeDescriptor(scratch, group, {
      geometry,
      groups,
      seed,
      free: freeBlocks[group]!,
      directories: directories[group]!,
    });
  }
  return scratch.bytes;
}

function writeDescriptor(
  { bytes, view }: Scratch,
  group: number,
  facts: { geometry: Geometry; groups: Groups; seed: number; free: number; directories: number },
): void {
  const { geometry, groups, seed } = facts;
  const at = group * DESCRIPTOR_BYTES;
  const blockBitmap = groups.blockBitmap(group)?.();
  const inodeBitmap = groups.inodeBitmap(group)?.();
  const unused = geometry.inodesPerGroup - groups.usedInodes(group);
  view.setUint32(at + DESCRIPTOR.blockBitmap, geometry.blockBitmaps[group]!, true);
  view.setUint32(at + DESCRIPTOR.inodeBitmap, geometry.inodeBitmaps[group]!, true);
  view.setUint32(at + DESCRIPTOR.inodeTable, geometry.inodeTables[group]!, true);
  view.setUint16(at + DESCRIPTOR.freeBlockCount, facts.free, true);
  view.setUint16(at + DESCRIPTOR.freeInodeCount, unused, true);
  view.setUint16(at + DESCRIPTOR.unusedInodeCount, unused, true);
  view.setUint16(at + DESCRIPTOR.directoryCount, facts.directories, true);

  let flags: number = GROUP_FLAG.tableZeroed;
  if (blockBitmap === undefined) flags |= GROUP_FLAG.blockUninit;
  else {
    const checksum = crc32c(seed, blockBitmap);
    view.setUint16(at + DESCRIPTOR.blockBitmapChecksum, checksum & 0xffff, true);
    view.setUint16(at + DESCRIPTOR.blockBitmapChecksumHigh, checksum >>> 16, true);
  }
  if (inodeBitmap === undefined) flags |= GROUP_FLAG.inodeUninit;
  else {
    const checksum = crc32c(seed, inodeBitmap, 0, geometry.inodesPerGroup / 8);
    view.setUint16(at + DESCRIPTOR.inodeBitmapChecksum, checksum & 0xffff, true);
    view.setUint16(at + DESCRIPTOR.inodeBitmapChecksumHigh, checksum >>> 16, true);
  }
  view.setUint16(at + DESCRIPTOR.flags, flags, true);
  const checksum = crc32c(checksumNumber(seed, group), bytes, at, at + DESCRIPTOR_BYTES);
  view.setUint16(at + DESCRIPTOR.checksum, checksum & 0xffff, true);
}

/**
 * Whether everything in use in a group is what its own head and descriptor say, so that the kernel can make the bitmap. It cannot for
 * the first group and the last (whose end it would not know), nor where tables of other groups lie.
 */
function isBlockUninit({ geometry, contentsEnd }: Usage, group: number): boolean {
  if (group === 0 || group === geometry.groupCount - 1) return false;
  return groupRange(geometry, group).start >= contentsEnd && geometry.holdsTables[group] === 0;
}

function countFreeBlocks({ geometry, contentsEnd }: Usage, group: number): number {
  const { start, length } = groupRange(geometry, group);
  const end = start + length;
  const from = Math.min(Math.max(start, contentsEnd), end);
  let free = end - from;
  for (let index = firstReservedAfter(geometry, from); ; index++) {
    const range = geometry.reserved[index];
    if (range === undefined || range.start >= end) return free;
    free -= Math.min(range.start + range.length, end) - Math.max(range.start, from);
  }
}

function makeBlockBitmap({ geometry, contentsEnd }: Usage, group: number): Uint8Array {
  const { start, length } = groupRange(geometry, group);
  const end = start + length;
  const bitmap = new Uint8Array(BLOCK_BYTES);
  setBits(bitmap, 0, Math.min(Math.max(contentsEnd - start, 0), length));
  for (let index = firstReservedAfter(geometry, start); ; index++) {
    const range = geometry.reserved[index];
    if (range === undefined || range.start >= end) break;
    setBits(bitmap, Math.max(range.start, start) - start, Math.min(range.start + range.length, end) - start);
  }
  setBits(bitmap, length, BLOCKS_PER_GROUP);
  return bitmap;
}

/** The first reserved range that has a block at `block` or after it. */
function firstReservedAfter({ reserved }: Geometry, block: number): number {
  let low = 0;
  let high = reserved.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { start, length } = reserved[middle]!;
    if (start + length > block) high = middle;
    else low = middle + 1;
  }
  return low;
}

function makeInodeBitmap(inodesPerGroup: number, used: number): Uint8Array {
  const bitmap = new Uint8Array(BLOCK_BYTES);
  setBits(bitmap, 0, used);
  setBits(bitmap, inodesPerGroup, BLOCK_BYTES * 8);
  return bitmap;
}

/** Sets bits `from` to `to`, the latter excluded. */
function setBits(bitmap: Uint8Array, from: number, to: number): void {
  let bit = from;
  for (; bit < to && bit % 8 !== 0; bit++) bitmap[bit >>> 3]! |= 1 << (bit & 7);
  const wholeEnd = Math.max(to & ~7, bit);
  bitmap.fill(0xff, bit >>> 3, wholeEnd >>> 3);
  for (bit = wholeEnd; bit < to; bit++) bitmap[bit >>> 3]! |= 1 << (bit & 7);
}

function countDirectories(inodes: InodeTable, { groupCount, inodesPerGroup }: Geometry): Uint32Array {
  const counts = new Uint32Array(groupCount);
  for (const inode of inodes) {
    if (inode?.directory !== undefined) counts[Math.floor((inode.number - 1) / inodesPerGroup)]! += 1;
  }
  return counts;
}
