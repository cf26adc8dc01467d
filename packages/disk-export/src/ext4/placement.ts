import { writeByteString } from "../byte-layout.js";
import type { Segment } from "../disk-plan.js";
import { createSegmentList } from "../segment-list.js";
import type { SegmentList } from "../segment-list.js";
import { hasTargetBlock, hasXattrBlock } from "./contents.js";
import type { Contents } from "./contents.js";
import { writeDirectoryBlock } from "./directory.js";
import { writeExtentBlock } from "./extents.js";
import type { Inode } from "./inode.js";
import { BLOCK_BYTES } from "./layout.js";
import type { Scratch } from "./scratch.js";
import { writeXattrBlock } from "./xattr.js";

/** Writes one block into zeroes at `at`. */
type BlockWriter = (scratch: Scratch, at: number) => void;
type BlockList = SegmentList<BlockWriter>;

/** What goes into the blocks that inodes have, in ascending order; not the journal's. */
export function listContents({ directories, small, files, values }: Contents, seed: number): Segment[] {
  const list = createBlockList();
  for (const inode of directories) addDirectory(list, inode, seed);
  for (const inode of small) {
    if (hasTargetBlock(inode)) addTarget(list, inode);
    if (hasXattrBlock(inode)) addXattrs(list, inode, seed);
  }
  const segments = list.finish();
  for (const inode of files) addFile(segments, inode, seed);
  const rest = createBlockList();
  for (const inode of values) addValue(rest, inode, seed);
  for (const segment of rest.finish()) segments.push(segment);
  return segments;
}

/** The blocks that map an inode's contents. */
export function listExtentBlocks(inode: Inode, seed: number): Segment[] {
  const list = createBlockList();
  addExtentBlocks(list, inode, seed);
  return list.finish();
}

/** Records are whole blocks. */
function createBlockList(): BlockList {
  return createSegmentList((write, target, at) =>
    write({ bytes: target, view: new DataView(target.buffer, target.byteOffset) }, at),
  );
}

function addDirectory(list: BlockList, inode: Inode, seed: number): void {
  const directory = inode.directory!;
  for (const { logical, physical, length } of inode.extents) {
    for (let block = 0; block < length; block++) {
      list.addRecord((physical + block) * BLOCK_BYTES, BLOCK_BYTES, (scratch, at) =>
        writeDirectoryBlock(scratch, at, { inode, directory, index: logical + block, seed }),
      );
    }
  }
  addExtentBlocks(list, inode, seed);
}

function addTarget(list: BlockList, inode: Inode): void {
  list.addRecord(inode.extents[0]!.physical * BLOCK_BYTES, BLOCK_BYTES, ({ bytes }, at) =>
    writeByteString(inode.entry.linkTarget, bytes, at),
  );
}

function addXattrs(list: BlockList, { xattrs, xattrBlock: blockNumber }: Inode, seed: number): void {
  list.addRecord(blockNumber * BLOCK_BYTES, BLOCK_BYTES, (scratch, at) =>
    writeXattrBlock(scratch, at, { xattrs: xattrs!.block, blockNumber, seed }),
  );
}

function addFile(segments: Segment[], inode: Inode, seed: number): void {
  const { entry } = inode;
  for (const { logical, physical, length } of inode.extents) {
    const entryOffset = logical * BLOCK_BYTES;
    const lengthBytes = Math.min(length * BLOCK_BYTES, entry.size - entryOffset);
    segments.push({ offset: physical * BLOCK_BYTES, length: lengthBytes, entry, entryOffset });
  }
  if (inode.extentBlocks.length > 0) segments.push(...listExtentBlocks(inode, seed));
}

function addValue(list: BlockList, inode: Inode, seed: number): void {
  const { bytes } = inode.value!;
  for (const { logical, physical, length } of inode.extents) {
    for (let block = 0; block < length; block++) {
      const from = (logical + block) * BLOCK_BYTES;
      list.addRecord((physical + block) * BLOCK_BYTES, BLOCK_BYTES, (scratch, at) =>
        scratch.bytes.set(bytes.subarray(from, from + BLOCK_BYTES), at),
      );
    }
  }
  addExtentBlocks(list, inode, seed);
}

function addExtentBlocks(list: BlockList, inode: Inode, seed: number): void {
  const tree = { extents: inode.extents, blocks: inode.extentBlocks, inodeNumber: inode.number, seed };
  for (const [index, block] of inode.extentBlocks.entries()) {
    list.addRecord(block * BLOCK_BYTES, BLOCK_BYTES, (scratch, at) => writeExtentBlock(scratch, at, index, tree));
  }
}
