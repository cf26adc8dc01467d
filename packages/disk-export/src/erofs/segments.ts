import { byteStringToBytes } from "@lamella/layer-format";

import type { ByteSource, Segment } from "../disk-plan.js";
import { directoryBlocks } from "./directory.js";
import { blockCount, headLength } from "./inode.js";
import type { ErofsInode } from "./inode.js";
import { recordLength, writeInode } from "./inode-writer.js";
import { SUPERBLOCK_OFFSET } from "./layout.js";
import type { ErofsPlacement } from "./placement.js";
import { ownRuns } from "./dedupe/shared-data.js";
import type { XattrTable } from "./xattr.js";
import { createSegmentList } from "../segment-list.js";
import type { SegmentList } from "../segment-list.js";

/** A directory's blocks are made this many at a time. */
const DIRECTORY_BLOCKS_AT_ONCE = 256;

export interface ErofsParts {
  readonly superblock: Uint8Array;
  readonly placement: ErofsPlacement;
  readonly xattrs: XattrTable;
  /** Has the data of compressed files. */
  readonly spool: ByteSource | undefined;
}

/** Everything of a disk that is not zeros, in ascending order. */
export function listSegments({ superblock, placement, xattrs, spool }: ErofsParts): Segment[] {
  const { inodes, withBlocks, xattrAreaStart, blockBytes } = placement;
  const list = createSegmentList<ErofsInode>((inode, target, at) =>
    writeInode(inode, target, at, { xattrs, xattrAreaStart, blockBytes }),
  );
  list.addBytes(SUPERBLOCK_OFFSET, superblock.length, () => superblock);
  for (const inode of inodes) {
    list.addRecord(inode.position, recordLength(inode), inode);
    if (inode.entry.kind === "file" && inode.tailLength > 0) {
      list.addData(inode.position + headLength(inode), inode.entry, inode.size - inode.tailLength, inode.tailLength);
    }
  }
  if (xattrs.areaLength() > 0) list.addBytes(xattrAreaStart, xattrs.areaLength(), () => xattrs.area());
  for (const inode of withBlocks) addBlocks(list, inode, { spool, blockBytes });
  return list.finish();
}

function addBlocks(
  list: SegmentList<ErofsInode>,
  inode: ErofsInode,
  { spool, blockBytes }: { spool: ByteSource | undefined; blockBytes: number },
): void {
  const { entry, directory, compressed, shared } = inode;
  const start = inode.block * blockBytes;
  if (directory !== undefined) {
    const total = blockCount(inode, blockBytes);
    for (let first = 0; first < total; first += DIRECTORY_BLOCKS_AT_ONCE) {
      const count = Math.min(DIRECTORY_BLOCKS_AT_ONCE, total - first);
      const length = count * blockBytes;
      list.addBytes(start + first * blockBytes, length, () => directoryBlocks(directory, { first, count, blockBytes }));
    }
  } else if (entry.kind === "symlink") {
    const length = inode.size - inode.tailLength;
    list.addBytes(start, length, () => byteStringToBytes(entry.linkTarget.slice(0, length)));
  } else if (compressed !== undefined && spool !== undefined) {
    list.addSource(start, compressed.blocks * blockBytes, spool, compressed.spoolOffset);
  } else if (shared !== undefined) {
    for (const { index, count, before } of ownRuns(shared)) {
      const offset = index * blockBytes;
      list.addData(start + before * blockBytes, entry, offset, Math.min(count * blockBytes, inode.size - offset));
    }
  } else {
    list.addData(start, entry, 0, inode.size - inode.tailLength);
  }
}
