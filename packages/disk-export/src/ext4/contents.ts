import { createAllocator } from "./allocator.js";
import type { Allocator } from "./allocator.js";
import { countExtentBlocks, countExtents, EXTENT_BLOCKS_MAX } from "./extents.js";
import type { MappedExtent } from "./extents.js";
import type { Geometry } from "./geometry.js";
import { isShortTarget } from "./inode.js";
import type { Inode } from "./inode.js";
import type { InodeTable } from "./tree.js";

/** Shared by all. */
const NONE: readonly never[] = [];

/** The inodes that have contents, in the order in which they get blocks. */
export interface Contents {
  readonly directories: readonly Inode[];
  /** Those with a long link's target or a block of xattrs; of one inode the target comes first. */
  readonly small: readonly Inode[];
  /** In the order in which their source is read. */
  readonly files: readonly Inode[];
  /** Values of xattrs. */
  readonly values: readonly Inode[];
  /** 0 for none. */
  readonly journalBlocks: number;
}

export function sortContents(inodes: InodeTable): Omit<Contents, "journalBlocks"> {
  const directories: Inode[] = [];
  const small: Inode[] = [];
  const files: Inode[] = [];
  const values: Inode[] = [];
  for (const inode of inodes) {
    if (inode === undefined) continue;
    if (inode.directory !== undefined) directories.push(inode);
    if (hasTargetBlock(inode) || hasXattrBlock(inode)) small.push(inode);
    if (inode.value !== undefined) values.push(inode);
    else if (inode.ranges.length > 0 && inode.entry.kind === "file") files.push(inode);
  }
  files.sort((left, right) => left.entry.locality - right.entry.locality || left.number - right.number);
  return { directories, small, files, values };
}

export function hasTargetBlock({ entry }: Inode): boolean {
  return entry.kind === "symlink" && !isShortTarget(entry.linkTarget);
}

export function hasXattrBlock({ xattrs }: Inode): boolean {
  return xattrs !== undefined && xattrs.block.length > 0;
}

/** Gives all inodes but the journal's their blocks. */
export function takeBlocks({ directories, small, files, values }: Contents, allocator: Allocator): void {
  for (const inode of directories) mapContents(inode, allocator);
  for (const inode of small) {
    if (hasTargetBlock(inode)) mapContents(inode, allocator);
    if (hasXattrBlock(inode)) inode.xattrBlock = allocator.take(1)[0]!.start;
  }
  for (const inode of files) mapContents(inode, allocator);
  for (const inode of values) mapContents(inode, allocator);
}

/** How many blocks {@link takeBlocks} and the journal take of a geometry, were there no end to it. */
export function countBlocks(contents: Contents, { reserved }: Geometry): number {
  const allocator = createAllocator({ reserved, blockCount: Infinity });
  let count = 0;
  for (const inode of contents.directories) count += countMapped(inode, allocator);
  for (const inode of contents.small) {
    const blocks = Number(hasTargetBlock(inode)) + Number(hasXattrBlock(inode));
    allocator.take(blocks);
    count += blocks;
  }
  for (const inode of contents.files) count += countMapped(inode, allocator);
  for (const inode of contents.values) count += countMapped(inode, allocator);
  if (contents.journalBlocks > 0) {
    count += countMapped({ ranges: [{ start: 0, length: contents.journalBlocks }] }, allocator);
  }
  return count;
}

/** Takes blocks for the contents, then for the tree that maps them. */
export function mapContents(inode: Inode, allocator: Allocator): void {
  const extents: MappedExtent[] = [];
  for (const range of inode.ranges) {
    let logical = range.start;
    for (const { start, length } of allocator.take(range.length)) {
      for (let done = 0; done < length;) {
        const part = Math.min(length - done, EXTENT_BLOCKS_MAX);
        extents.push({ logical, physical: start + done, length: part });
        logical += part;
        done += part;
      }
    }
  }
  // A copy has no room to grow, of which most would be wasted.
  inode.extents = extents.slice();
  // The extents say it all, and there is an inode for each file.
  inode.ranges = NONE;
  const blockCount = countExtentBlocks(extents.length);
  if (blockCount === 0) return;
  inode.extentBlocks = allocator
    .take(blockCount)
    .flatMap(({ start, length }) => Array.from({ length }, (_, index) => start + index));
}

function countMapped({ ranges }: Pick<Inode, "ranges">, allocator: Allocator): number {
  // Nearly all: one range that one extent maps.
  const only = ranges.length === 1 ? ranges[0]! : undefined;
  if (only !== undefined && only.length <= EXTENT_BLOCKS_MAX && allocator.takeRun(only.length)) return only.length;
  let blocks = 0;
  for (const { length } of ranges) blocks += length;
  const ifWhole = blocks + countExtentBlocks(countExtents(ranges));
  if (allocator.takeRun(ifWhole)) return ifWhole;
  const extentCount = ranges.reduce((sum, { length }) => sum + countExtents(allocator.take(length)), 0);
  const extentBlocks = countExtentBlocks(extentCount);
  allocator.take(extentBlocks);
  return blocks + extentBlocks;
}
