import type { ErofsInode } from "../inode.js";
import { CHUNK_ADDRESS_BYTES, NO_BLOCK } from "../layout.js";

/** A chunk is no longer than 1 GiB: what a 32-bit kernel can count. */
const CHUNK_BITS_MAX = 18;

/**
 * Data of a file that lies, all of it or in part, where other files have it too.
 *
 * Before inodes have their places, a block's place is a *position*: it counts the blocks of all files in a row, one left out between the
 * blocks of one file and those of the next, so that what follows each other by position does so on the disk.
 */
export interface SharedData {
  /** For each block of the file; {@link NO_BLOCK} for a hole. */
  readonly positions: Uint32Array;
  /** How many blocks a chunk has, as a power of two; undefined where all lie in one run, for which no map is needed. */
  readonly chunkBits: number | undefined;
  /** The position of the first block that no file before this one has; so many follow each other, and are this inode's own blocks. */
  readonly ownStart: number;
  readonly ownBlocks: number;
  readonly space: DataSpace;
}

/** Positions and what they become. */
export interface DataSpace {
  /** Gives an inode its positions; those of the next come after them. */
  take(inode: ErofsInode, blocks: number): void;
  /** The next position to be taken. */
  next(): number;
  /** Where a position lies on the disk, once all inodes have their blocks. */
  block(position: number): number;
}

/** Positions begin at 1. */
export function createDataSpace(): DataSpace {
  const starts: number[] = [];
  const owners: ErofsInode[] = [];
  let next = 1;
  return {
    take(inode, blocks) {
      if (blocks === 0) return;
      starts.push(next);
      owners.push(inode);
      next += blocks + 1;
    },
    next: () => next,
    block(position) {
      let low = 0;
      let high = starts.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >>> 1;
        if (starts[middle]! <= position) low = middle;
        else high = middle - 1;
      }
      return owners[low]!.block + position - starts[low]!;
    },
  };
}

/** The largest chunks, as {@link SharedData.chunkBits} has them, of which each lies in one run or is a hole. */
export function fitChunkBits(positions: Uint32Array): number | undefined {
  let bits = Math.min(Math.ceil(Math.log2(positions.length)), CHUNK_BITS_MAX);
  let isOneRun = positions[0] !== NO_BLOCK;
  for (let index = 1; index < positions.length; index++) {
    const before = positions[index - 1]!;
    const position = positions[index]!;
    if (position === NO_BLOCK ? before === NO_BLOCK : position === before + 1) continue;
    isOneRun = false;
    bits = Math.min(bits, trailingZeros(index));
  }
  return isOneRun ? undefined : bits;
}

/** The blocks of a file that are its own, from `index` on `count` that follow each other, with so many of its own `before` them. */
export function* ownRuns({
  positions,
  ownStart,
  ownBlocks,
}: SharedData): Generator<{ index: number; count: number; before: number }> {
  let before = 0;
  for (let index = 0; before < ownBlocks; index++) {
    let count = 0;
    while (before + count < ownBlocks && positions[index + count] === ownStart + before + count) count += 1;
    if (count === 0) continue;
    yield { index, count, before };
    before += count;
    index += count - 1;
  }
}

/** How many bytes the map takes behind the inode's xattrs. */
export function chunkMapLength({ positions, chunkBits }: SharedData): number {
  return chunkBits === undefined ? 0 : CHUNK_ADDRESS_BYTES * Math.ceil(positions.length / 2 ** chunkBits);
}

/** Writes what {@link chunkMapLength} measured. */
export function writeChunkMap({ positions, chunkBits, space }: SharedData, target: Uint8Array, start: number): void {
  if (chunkBits === undefined) return;
  const view = new DataView(target.buffer, target.byteOffset);
  let at = start;
  for (let index = 0; index < positions.length; index += 2 ** chunkBits) {
    const position = positions[index]!;
    view.setUint32(at, position === NO_BLOCK ? NO_BLOCK : space.block(position), true);
    at += CHUNK_ADDRESS_BYTES;
  }
}

function trailingZeros(value: number): number {
  return 31 - Math.clz32(value & -value);
}
