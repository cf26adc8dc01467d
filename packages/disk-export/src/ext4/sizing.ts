import { DiskExportError } from "../errors.js";
import { layOutGroups, leastBlockCount } from "./geometry.js";
import type { Geometry } from "./geometry.js";
import { countJournalBlocks } from "./journal.js";
import type { JournalPolicy } from "./journal.js";
import { BLOCK_BYTES, BLOCKS_MAX, BLOCKS_PER_GROUP } from "./layout.js";

/** Left free on the smallest disk, so that mounting it for writing is of some use. */
const SPARE_BLOCKS = 16;
const SPARE_INODES = 16;
/** mke2fs's usual ratio, an inode for each 16 KiB. */
const BLOCKS_PER_INODE = 4;
/** The superblock counts them in 32 bits, and rounding up to whole tables adds some. */
const INODES_MAX: number = 2 ** 32 - 2 ** 22;
const RESERVED_PERCENT_MAX = 50;

/** What a tree needs of a file system. */
export interface Demand {
  /** Contents and xattr blocks. */
  readonly blocks: number;
  /** The highest inode number. */
  readonly inodes: number;
  /**
   * Exactly what is taken of a geometry: the above, a journal of so many blocks, and the blocks of extents, which depend on where
   * reserved ones lie.
   */
  readonly blocksOn: (geometry: Geometry, journalBlocks: number) => number;
}

export interface Sizing {
  readonly sizeBytes?: number | undefined;
  readonly freeBytes?: number | undefined;
  /** At least so many inodes, instead of what is usual. */
  readonly inodes?: number | undefined;
  /** How much of the disk only root may fill; 0 by default. */
  readonly reservedPercent?: number | undefined;
  /** `never` by default. */
  readonly journal?: JournalPolicy | undefined;
}

/** A geometry, and the disk that it is on: which may be longer by a last group that was too small to have. */
export interface Fit {
  readonly geometry: Geometry;
  readonly diskBlocks: number;
  readonly journalBlocks: number;
  /** Blocks that only root may fill. */
  readonly rootBlocks: number;
}

/** What the search for a geometry asks for. */
interface Wish {
  readonly demand: Demand;
  readonly journal: JournalPolicy;
  readonly inodes: number | undefined;
  readonly reservedPercent: number;
}

/**
 * Finds the geometry for a tree: of the disk's size where that is given, else the smallest that has `freeBytes` for others than root,
 * else the smallest (but for the rounding of inode tables).
 *
 * @throws {DiskExportError} `size_too_small` (with a size that suffices), `unsupported` over 16 TiB, `option_invalid`
 */
export function fitGeometry(demand: Demand, sizing: Sizing): Fit {
  const { sizeBytes, freeBytes, journal = "never", inodes, reservedPercent = 0 } = sizing;
  requireInodes(demand, inodes);
  requirePercent(reservedPercent);
  const wish = { demand, journal, inodes, reservedPercent };
  if (sizeBytes !== undefined && freeBytes !== undefined) {
    throw new DiskExportError("option_invalid", "cannot plan ext4: sizeBytes and freeBytes exclude each other");
  }
  if (sizeBytes !== undefined) {
    const diskBlocks = wholeBlocks("sizeBytes", sizeBytes, Math.floor);
    return completeFit(fitWithin(wish, diskBlocks), diskBlocks, wish);
  }
  const geometry =
    freeBytes === undefined ? smallest(wish) : withFree(wish, wholeBlocks("freeBytes", freeBytes, Math.ceil));
  return completeFit(geometry, geometry.blockCount, wish);
}

function completeFit(geometry: Geometry, diskBlocks: number, { journal, reservedPercent }: Wish): Fit {
  const { blockCount } = geometry;
  const rootBlocks = countRootBlocks(blockCount, reservedPercent);
  return { geometry, diskBlocks, journalBlocks: countJournalBlocks(blockCount, journal), rootBlocks };
}

/** What the kernel keeps back from others than root for its own extents (`ext4_calculate_resv_clusters`). */
export function kernelReserve(blockCount: number): number {
  return Math.min(Math.floor(blockCount / 50), 4096);
}

function smallest(wish: Wish): Geometry {
  return growUntilFit(wish, { freeBlocks: () => 0, inodes: () => leanInodes(wish) });
}

function withFree(wish: Wish, freeBlocks: number): Geometry {
  return growUntilFit(wish, {
    freeBlocks: (blockCount) =>
      freeBlocks + kernelReserve(blockCount) + countRootBlocks(blockCount, wish.reservedPercent),
    inodes: (blockCount) => usualInodes(wish, blockCount),
  });
}

/** Every pass asks for what the last geometry lacked; the blocks that the last one has too many are cut off. */
function growUntilFit(
  wish: Wish,
  want: { freeBlocks: (blockCount: number) => number; inodes: (blockCount: number) => number },
): Geometry {
  let blockCount = wish.demand.blocks + SPARE_BLOCKS;
  let fitting: Geometry | undefined;
  for (;;) {
    if (blockCount > BLOCKS_MAX) {
      const limit = `the tree needs ${blockCount * BLOCK_BYTES} bytes or more, the limit is ${BLOCKS_MAX * BLOCK_BYTES}`;
      throw new DiskExportError("unsupported", `cannot plan ext4: ${limit}`);
    }
    const inodes = want.inodes(blockCount);
    const geometry = layOutGroups(blockCount, inodes);
    const needed = blocksNeeded(geometry, wish) + want.freeBlocks(blockCount);
    const least = Math.max(needed, leastUnlessAlone(geometry, inodes));
    if (least > blockCount) {
      if (fitting !== undefined) return fitting;
    } else {
      if (least === blockCount) return geometry;
      fitting = geometry;
    }
    blockCount = least;
  }
}

/** Inodes in the usual ratio where there is room, else as few as the tree needs. */
function fitWithin(wish: Wish, diskBlocks: number): Geometry {
  for (const inodes of [usualInodes(wish, diskBlocks), leanInodes(wish)]) {
    const geometry = layOutWithin(diskBlocks, inodes);
    if (geometry !== undefined && blocksNeeded(geometry, wish) <= geometry.blockCount) return geometry;
  }
  const { blockCount } = smallest(wish);
  const journalBytes = countJournalBlocks(blockCount, wish.journal) * BLOCK_BYTES;
  const withJournal = journalBytes > 0 ? ` with a journal of ${journalBytes}` : "";
  const asked = `the tree needs ${blockCount * BLOCK_BYTES} bytes${withJournal}, the size is ${diskBlocks * BLOCK_BYTES}`;
  throw new DiskExportError("size_too_small", `cannot plan ext4: ${asked}`);
}

function layOutWithin(diskBlocks: number, inodes: number): Geometry | undefined {
  if (diskBlocks === 0) return undefined;
  const geometry = layOutGroups(diskBlocks, inodes);
  if (leastUnlessAlone(geometry, inodes) <= diskBlocks) return geometry;
  const trimmedBlocks = (geometry.groupCount - 1) * BLOCKS_PER_GROUP;
  if (trimmedBlocks === 0) return undefined;
  const trimmed = layOutGroups(trimmedBlocks, inodes);
  return leastBlockCount(trimmed, inodes) <= trimmedBlocks ? trimmed : undefined;
}

/** A group that is the only one has no minimum: whether it has room for the tree says it all. */
function leastUnlessAlone(geometry: Geometry, inodes: number): number {
  const least = leastBlockCount(geometry, inodes);
  return least <= BLOCKS_PER_GROUP ? 0 : least;
}

function blocksNeeded(geometry: Geometry, { demand, journal }: Wish): number {
  const { blockCount, reservedBlockCount, reservedDescriptorBlocks } = geometry;
  const resizeMap = reservedDescriptorBlocks > 0 ? 1 : 0;
  const contents = demand.blocksOn(geometry, countJournalBlocks(blockCount, journal));
  return reservedBlockCount + contents + resizeMap + SPARE_BLOCKS;
}

function countRootBlocks(blockCount: number, reservedPercent: number): number {
  return Math.floor((blockCount * reservedPercent) / 100);
}

function leanInodes({ demand, inodes }: Wish): number {
  return inodes ?? demand.inodes + SPARE_INODES;
}

/** The usual ratio for the whole disk, and at least for what is beside the tree. */
function usualInodes(wish: Wish, blockCount: number): number {
  if (wish.inodes !== undefined) return wish.inodes;
  const besideTree = Math.max(blockCount - wish.demand.blocks, 0);
  const inodes = Math.max(leanInodes(wish) + besideTree / BLOCKS_PER_INODE, blockCount / BLOCKS_PER_INODE);
  return Math.ceil(inodes);
}

function requireInodes(demand: Demand, inodes: number | undefined): void {
  if (inodes === undefined) return;
  if (!Number.isSafeInteger(inodes) || inodes < 0 || inodes > INODES_MAX) {
    const limit = `not a whole number from 0 to ${INODES_MAX}`;
    throw new DiskExportError("option_invalid", `cannot plan ext4 with ${inodes} inodes: ${limit}`);
  }
  if (inodes >= demand.inodes) return;
  const needed = `the tree needs ${demand.inodes}`;
  throw new DiskExportError("size_too_small", `cannot plan ext4 with ${inodes} inodes: ${needed}`);
}

function requirePercent(reservedPercent: number): void {
  if (reservedPercent >= 0 && reservedPercent <= RESERVED_PERCENT_MAX) return;
  const limit = `not from 0 to ${RESERVED_PERCENT_MAX}`;
  throw new DiskExportError("option_invalid", `cannot reserve ${reservedPercent} percent: ${limit}`);
}

function wholeBlocks(name: string, bytes: number, round: (value: number) => number): number {
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > BLOCKS_MAX * BLOCK_BYTES) {
    const limit = `not a whole number from 0 to ${BLOCKS_MAX * BLOCK_BYTES}`;
    throw new DiskExportError("option_invalid", `cannot plan ext4 with ${name} ${bytes}: ${limit}`);
  }
  return round(bytes / BLOCK_BYTES);
}
