import type { Entry } from "@lamella/layer-format";

import { crc32c } from "../crc32c.js";
import { inodeChecksumSeed } from "./checksum.js";
import { BLOCK_BYTES } from "./layout.js";
import type { Scratch } from "./scratch.js";

/*
 * The map of an inode's contents is a tree. Its root is in the inode, every other node is a block; all leaves are at one depth.
 *
 *  +---------------------------------+----------------------------------------------------+------+
 *  | magic, entries, max, depth, gen | extents (depth 0): logical, length, hi, physical   | csum |
 *  | 12 bytes                        | indexes (depth > 0): logical, block, hi, 0         |   4  |
 *  +---------------------------------+----------------------------------------------------+------+
 *  0                                 12               12 bytes each, 4 or 340              4092
 */
const NODE_MAGIC = 0xf30a;
const HEADER_BYTES = 12;
const ENTRY_BYTES = 12;
const ROOT_ENTRIES = 4;
const NODE_ENTRIES = 340;
const CHECKSUM_OFFSET: number = HEADER_BYTES + NODE_ENTRIES * ENTRY_BYTES;

/** A longer length means an extent that holds no data yet. */
export const EXTENT_BLOCKS_MAX = 32768;

/** A run of blocks: of a disk, or of an inode's contents. */
export interface BlockRange {
  readonly start: number;
  readonly length: number;
}

/** `length` blocks of an inode's contents from `logical` are on the disk from `physical`. */
export interface MappedExtent {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
}

/** The blocks of a file in which its data lies, ascending and merged. Blocks of which no byte is data are holes. */
export function dataRanges({ size, extents }: Entry): BlockRange[] {
  // Nearly all files; an array that grows would keep room for more, of each of them.
  if (extents === undefined) return size === 0 ? [] : [{ start: 0, length: Math.ceil(size / BLOCK_BYTES) }];
  const ranges: { start: number; length: number }[] = [];
  for (const { offset, length } of extents) {
    if (length === 0) continue;
    const last = ranges.at(-1);
    const start = Math.floor(offset / BLOCK_BYTES);
    const end = Math.ceil((offset + length) / BLOCK_BYTES);
    if (last !== undefined && start <= last.start + last.length) last.length = end - last.start;
    else ranges.push({ start, length: end - start });
  }
  return ranges;
}

/** The fewest extents that can map these ranges. */
export function countExtents(ranges: readonly BlockRange[]): number {
  return ranges.reduce((sum, { length }) => sum + Math.ceil(length / EXTENT_BLOCKS_MAX), 0);
}

/** How many blocks the tree of so many extents takes beside its root. */
export function countExtentBlocks(extentCount: number): number {
  let total = 0;
  for (let count = extentCount; count > ROOT_ENTRIES;) {
    count = Math.ceil(count / NODE_ENTRIES);
    total += count;
  }
  return total;
}

/** Writes the root into the zeroed map of an inode at `at`. `blocks` are the other nodes: leaves first, then level by level. */
export function writeExtentRoot(
  view: DataView,
  at: number,
  extents: readonly MappedExtent[],
  blocks: readonly number[],
): void {
  const levels = treeLevels(extents.length);
  const node = { depth: levels.length, entriesMax: ROOT_ENTRIES, from: 0, childCount: levels.at(-1)?.count ?? 0 };
  writeNode(view, at, node, { extents, blocks, levels });
}

/** Writes node `index` of {@link writeExtentRoot}'s `blocks` into a zeroed block at `at`. */
export function writeExtentBlock(
  { bytes, view }: Scratch,
  at: number,
  index: number,
  tree: {
    readonly extents: readonly MappedExtent[];
    readonly blocks: readonly number[];
    readonly inodeNumber: number;
    readonly seed: number;
  },
): void {
  const levels = treeLevels(tree.extents.length);
  const depth = levels.findIndex(({ first, count }) => index < first + count);
  const from = (index - levels[depth]!.first) * NODE_ENTRIES;
  const childCount = depth === 0 ? tree.extents.length : levels[depth - 1]!.count;
  writeNode(view, at, { depth, entriesMax: NODE_ENTRIES, from, childCount }, { ...tree, levels });
  const seed = inodeChecksumSeed(tree.seed, tree.inodeNumber);
  view.setUint32(at + CHECKSUM_OFFSET, crc32c(seed, bytes, at, at + CHECKSUM_OFFSET), true);
}

interface Level {
  /** Of its nodes in the list of blocks. */
  readonly first: number;
  readonly count: number;
}

/** The levels below the root, leaves first. Every node but the last of a level is full. */
function treeLevels(extentCount: number): Level[] {
  const levels: Level[] = [];
  let first = 0;
  for (let count = extentCount; count > ROOT_ENTRIES;) {
    count = Math.ceil(count / NODE_ENTRIES);
    levels.push({ first, count });
    first += count;
  }
  return levels;
}

function writeNode(
  view: DataView,
  at: number,
  node: { depth: number; entriesMax: number; from: number; childCount: number },
  tree: { extents: readonly MappedExtent[]; blocks: readonly number[]; levels: readonly Level[] },
): void {
  const { extents, blocks, levels } = tree;
  const childCount = node.depth === 0 ? extents.length : node.childCount;
  const to = Math.min(node.from + node.entriesMax, childCount);
  view.setUint16(at, NODE_MAGIC, true);
  view.setUint16(at + 2, to - node.from, true);
  view.setUint16(at + 4, node.entriesMax, true);
  view.setUint16(at + 6, node.depth, true);

  let entry = at + HEADER_BYTES;
  for (let child = node.from; child < to; child++, entry += ENTRY_BYTES) {
    if (node.depth === 0) {
      const { logical, physical, length } = extents[child]!;
      view.setUint32(entry, logical, true);
      view.setUint16(entry + 4, length, true);
      view.setUint32(entry + 8, physical, true);
    } else {
      const firstExtent = child * NODE_ENTRIES ** node.depth;
      view.setUint32(entry, extents[firstExtent]!.logical, true);
      view.setUint32(entry + 4, blocks[levels[node.depth - 1]!.first + child]!, true);
    }
  }
}
