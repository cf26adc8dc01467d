import { DiskExportError } from "../errors.js";
import { layOutGroups, leastBlockCount } from "./geometry.js";
import type { Geometry } from "./geometry.js";
import { BLOCK_BYTES, BLOCKS_MAX, BLOCKS_PER_GROUP } from "./layout.js";

/** Left free on the smallest disk, so that mounting it for writing is of some use. */
const SPARE_BLOCKS = 16;
const SPARE_INODES = 16;
/** mke2fs's usual ratio, an inode for each 16 KiB. */
const BLOCKS_PER_INODE = 4;
/** Each reserved range may cut one more file in two, and an extent more takes at most a leaf and two levels of indexes. */
const EXTENT_BLOCKS_PER_CUT = 3;

/** What a tree needs of a file system. */
export interface Demand {
  /** Contents and xattr blocks. */
  readonly blocks: number;
  /** Extent blocks, were every file's blocks contiguous. */
  readonly extentBlocks: number;
  /** The highest inode number. */
  readonly inodes: number;
}

export interface Sizing {
  readonly sizeBytes?: number | undefined;
  readonly freeBytes?: number | undefined;
}

/** A geometry, and the disk that it is on: which may be longer by a last group that was too small to have. */
export interface Fit {
  readonly geometry: Geometry;
  readonly diskBlocks: number;
}

/**
 * Finds the geometry for a tree: of the disk's size where that is given, else the smallest that has `freeBytes` for others than root,
 * else the smallest (but for the rounding of inode tables).
 *
 * @throws {DiskExportError} `size_too_small` (with a size that suffices), `unsupported` over 16 TiB, `option_invalid`
 */
export function fitGeometry(demand: Demand, { sizeBytes, freeBytes }: Sizing): Fit {
  if (sizeBytes !== undefined && freeBytes !== undefined) {
    throw new DiskExportError("option_invalid", "cannot plan ext4: sizeBytes and freeBytes exclude each other");
  }
  if (sizeBytes !== undefined) {
    const diskBlocks = wholeBlocks("sizeBytes", sizeBytes, Math.floor);
    return { geometry: fitWithin(demand, diskBlocks), diskBlocks };
  }
  const geometry =
    freeBytes === undefined ? smallest(demand) : withFree(demand, wholeBlocks("freeBytes", freeBytes, Math.ceil));
  return { geometry, diskBlocks: geometry.blockCount };
}

/** What the kernel keeps back from others than root for its own extents (`ext4_calculate_resv_clusters`). */
export function kernelReserve(blockCount: number): number {
  return Math.min(Math.floor(blockCount / 50), 4096);
}

function smallest(demand: Demand): Geometry {
  return growUntilFit(demand, { freeBlocks: () => 0, inodes: () => leanInodes(demand) });
}

function withFree(demand: Demand, freeBlocks: number): Geometry {
  return growUntilFit(demand, {
    freeBlocks: (blockCount) => freeBlocks + kernelReserve(blockCount),
    inodes: (blockCount) => usualInodes(demand, blockCount),
  });
}

/** Every pass asks for what the last geometry lacked; the blocks that the last one has too many are cut off. */
function growUntilFit(
  demand: Demand,
  want: { freeBlocks: (blockCount: number) => number; inodes: (blockCount: number) => number },
): Geometry {
  let blockCount = demand.blocks + demand.extentBlocks + SPARE_BLOCKS;
  let fitting: Geometry | undefined;
  for (;;) {
    if (blockCount > BLOCKS_MAX) {
      const limit = `the tree needs ${blockCount * BLOCK_BYTES} bytes or more, the limit is ${BLOCKS_MAX * BLOCK_BYTES}`;
      throw new DiskExportError("unsupported", `cannot plan ext4: ${limit}`);
    }
    const inodes = want.inodes(blockCount);
    const geometry = layOutGroups(blockCount, inodes);
    const needed = blocksNeeded(geometry, demand) + want.freeBlocks(blockCount);
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
function fitWithin(demand: Demand, diskBlocks: number): Geometry {
  for (const inodes of [usualInodes(demand, diskBlocks), leanInodes(demand)]) {
    const geometry = layOutWithin(diskBlocks, inodes);
    if (geometry !== undefined && blocksNeeded(geometry, demand) <= geometry.blockCount) return geometry;
  }
  const needed = smallest(demand).blockCount * BLOCK_BYTES;
  const asked = `the tree needs ${needed} bytes, the size is ${diskBlocks * BLOCK_BYTES}`;
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

function blocksNeeded(geometry: Geometry, demand: Demand): number {
  const cuts = geometry.reserved.length - 1;
  const resizeMap = geometry.reservedDescriptorBlocks > 0 ? 1 : 0;
  const contents = demand.blocks + demand.extentBlocks + cuts * EXTENT_BLOCKS_PER_CUT + resizeMap;
  return geometry.reservedBlockCount + contents + SPARE_BLOCKS;
}

function leanInodes(demand: Demand): number {
  return demand.inodes + SPARE_INODES;
}

/** The usual ratio for the whole disk, and at least for what is beside the tree. */
function usualInodes(demand: Demand, blockCount: number): number {
  const besideTree = Math.max(blockCount - demand.blocks, 0);
  const inodes = Math.max(leanInodes(demand) + besideTree / BLOCKS_PER_INODE, blockCount / BLOCKS_PER_INODE);
  return Math.ceil(inodes);
}

function wholeBlocks(name: string, bytes: number, round: (value: number) => number): number {
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > BLOCKS_MAX * BLOCK_BYTES) {
    const limit = `not a whole number from 0 to ${BLOCKS_MAX * BLOCK_BYTES}`;
    throw new DiskExportError("option_invalid", `cannot plan ext4 with ${name} ${bytes}: ${limit}`);
  }
  return round(bytes / BLOCK_BYTES);
}
