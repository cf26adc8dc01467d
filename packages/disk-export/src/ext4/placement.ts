import type { Segment } from "../disk-plan.js";
import { writeByteString } from "../byte-layout.js";
import type { Allocator } from "./allocator.js";
import { writeDirectoryBlock } from "./directory.js";
import { countExtentBlocks, EXTENT_BLOCKS_MAX, writeExtentBlock } from "./extents.js";
import type { MappedExtent } from "./extents.js";
import type { Inode } from "./inode.js";
import { BLOCK_BYTES } from "./layout.js";
import type { Scratch } from "./scratch.js";
import type { InodeTable } from "./tree.js";
import { writeXattrBlock } from "./xattr.js";
import { createSegmentList } from "../segment-list.js";
import type { SegmentList } from "../segment-list.js";

/** Writes one block into zeroes at `at`. */
type BlockWriter = (scratch: Scratch, at: number) => void;

/**
 * Gives every inode its blocks and lists what goes there, in ascending order: directories, long links' targets and xattrs, then files
 * in the order in which their source is read.
 */
export function placeInodes(inodes: InodeTable, allocator: Allocator, seed: number): Segment[] {
  const list = createBlockList();
  const files: Inode[] = [];
  for (const inode of inodes) if (inode?.directory !== undefined) placeDirectory(list, allocator, inode, seed);
  for (const inode of inodes) {
    if (inode === undefined) continue;
    if (inode.entry.kind === "file") files.push(inode);
    else if (inode.entry.kind === "symlink" && inode.ranges.length > 0) placeTarget(list, allocator, inode);
    if (inode.xattrs !== undefined && inode.xattrs.block.length > 0) placeXattrs(list, allocator, inode, seed);
  }
  const segments = list.finish();
  files.sort((left, right) => left.entry.locality - right.entry.locality || left.number - right.number);
  for (const inode of files) placeFile(segments, allocator, inode, seed);
  return segments;
}

/** Records are whole blocks. */
function createBlockList(): SegmentList<BlockWriter> {
  return createSegmentList((write, target, at) => write({ bytes: target, view: new DataView(target.buffer) }, at));
}

function placeDirectory(list: SegmentList<BlockWriter>, allocator: Allocator, inode: Inode, seed: number): void {
  const directory = inode.directory!;
  mapContents(inode, allocator);
  for (const { logical, physical, length } of inode.extents) {
    for (let block = 0; block < length; block++) {
      list.addRecord((physical + block) * BLOCK_BYTES, BLOCK_BYTES, (scratch, at) =>
        writeDirectoryBlock(scratch, at, { inode, directory, index: logical + block, seed }),
      );
    }
  }
  addExtentBlocks(list, inode, seed);
}

function placeTarget(list: SegmentList<BlockWriter>, allocator: Allocator, inode: Inode): void {
  mapContents(inode, allocator);
  list.addRecord(inode.extents[0]!.physical * BLOCK_BYTES, BLOCK_BYTES, ({ bytes }, at) =>
    writeByteString(inode.entry.linkTarget, bytes, at),
  );
}

function placeXattrs(list: SegmentList<BlockWriter>, allocator: Allocator, inode: Inode, seed: number): void {
  const xattrs = inode.xattrs!.block;
  const blockNumber = allocator.take(1)[0]!.start;
  inode.xattrBlock = blockNumber;
  list.addRecord(blockNumber * BLOCK_BYTES, BLOCK_BYTES, (scratch, at) =>
    writeXattrBlock(scratch, at, { xattrs, blockNumber, seed }),
  );
}

function placeFile(segments: Segment[], allocator: Allocator, inode: Inode, seed: number): void {
  const { entry } = inode;
  mapContents(inode, allocator);
  for (const { logical, physical, length } of inode.extents) {
    const entryOffset = logical * BLOCK_BYTES;
    const lengthBytes = Math.min(length * BLOCK_BYTES, entry.size - entryOffset);
    segments.push({ offset: physical * BLOCK_BYTES, length: lengthBytes, entry, entryOffset });
  }
  if (inode.extentBlocks.length === 0) return;
  const list = createBlockList();
  addExtentBlocks(list, inode, seed);
  segments.push(...list.finish());
}

function addExtentBlocks(list: SegmentList<BlockWriter>, inode: Inode, seed: number): void {
  const tree = { extents: inode.extents, blocks: inode.extentBlocks, inodeNumber: inode.number, seed };
  for (const [index, block] of inode.extentBlocks.entries()) {
    list.addRecord(block * BLOCK_BYTES, BLOCK_BYTES, (scratch, at) => writeExtentBlock(scratch, at, index, tree));
  }
}

/** Takes blocks for the contents, then for the tree that maps them. */
function mapContents(inode: Inode, allocator: Allocator): void {
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
  inode.extents = extents;
  const blockCount = countExtentBlocks(extents.length);
  if (blockCount === 0) return;
  inode.extentBlocks = allocator
    .take(blockCount)
    .flatMap(({ start, length }) => Array.from({ length }, (_, index) => start + index));
}
