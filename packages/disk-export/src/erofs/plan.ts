import { byteStringToBytes } from "@lamella/layer-format";
import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createDiskIdentity, encodeLabel, parseUuid } from "../disk-identity.js";
import type { DiskPlan, Segment } from "../disk-plan.js";
import { directoryBlocks } from "./directory.js";
import { blockCount, headLength, inodeNid } from "./inode.js";
import type { ErofsInode } from "./inode.js";
import { recordLength, writeInode } from "./inode-writer.js";
import { BLOCK_BYTES, SUPERBLOCK_OFFSET } from "./layout.js";
import { placeInodes } from "./placement.js";
import type { ErofsPlacement } from "./placement.js";
import { encodeSuperblock } from "./superblock.js";
import { readErofsTree } from "./tree.js";
import { DiskExportError } from "../errors.js";
import { createLossCollector } from "../losses.js";
import { createDiskPlan } from "../plan-reader.js";
import { createSegmentList } from "../segment-list.js";
import type { SegmentList } from "../segment-list.js";

/** A directory's blocks are made this many at a time. */
const DIRECTORY_BLOCKS_AT_ONCE = 256;

export interface ErofsOptions extends CallOptions {
  /** `8-4-4-4-12` hex digits; by default made of the tree's metadata, so that the same tree gives the same disk. */
  uuid?: string;
  /** At most 16 bytes of UTF-8; empty by default. */
  label?: string;
  /** When the disk was made, in whole seconds since 1970; 0 by default. Files keep their own times. */
  epochSeconds?: number;
}

/**
 * Plans an uncompressed EROFS disk: 4 KiB blocks, extended inodes, inline tails, xattrs beside their inode. Every Linux since 5.4 mounts it.
 *
 * Holes of sparse files take room on the disk and read as zeros; a file of the disk keeps them as holes. Losses that
 * a plan can note: xattrs in a namespace that EROFS has no number for, POSIX ACLs that are none (which would make a file unreadable).
 *
 * @throws {DiskExportError} `unsupported` for what the format cannot hold, `option_invalid`, `tree_invalid`
 */
export async function planErofs(tree: FileTree, options: ErofsOptions = {}): Promise<DiskPlan> {
  const { signal, epochSeconds = 0 } = options;
  signal?.throwIfAborted();
  const label = encodeLabel(options.label ?? "");
  const givenUuid = options.uuid === undefined ? undefined : parseUuid(options.uuid);
  if (!Number.isSafeInteger(epochSeconds) || epochSeconds < 0) {
    throw new DiskExportError("option_invalid", `cannot use epochSeconds ${epochSeconds}: not a whole number from 0`);
  }

  const losses = createLossCollector();
  const identity = createDiskIdentity("erofs");
  const placement = placeInodes(await readErofsTree(tree, { losses, identity, signal }));
  const superblock = encodeSuperblock({
    rootNid: inodeNid(placement.inodes[0]!),
    inodeCount: placement.inodes.length,
    blockCount: placement.blockCount,
    buildSeconds: epochSeconds,
    uuid: givenUuid ?? identity.uuid(),
    label,
  });
  return createDiskPlan({
    format: "erofs",
    sizeBytes: placement.blockCount * BLOCK_BYTES,
    segments: listSegments(superblock, placement),
    losses: losses.list(),
    tree,
  });
}

function listSegments(superblock: Uint8Array, { inodes, withBlocks }: ErofsPlacement): Segment[] {
  const list = createSegmentList(writeInode);
  list.addBytes(SUPERBLOCK_OFFSET, superblock.length, () => superblock);
  for (const inode of inodes) {
    list.addRecord(inode.position, recordLength(inode), inode);
    if (inode.entry.kind === "file" && inode.tailLength > 0) {
      list.addData(inode.position + headLength(inode), inode.entry, inode.size - inode.tailLength, inode.tailLength);
    }
  }
  for (const inode of withBlocks) addBlocks(list, inode);
  return list.finish();
}

function addBlocks(list: SegmentList<ErofsInode>, inode: ErofsInode): void {
  const { entry, directory } = inode;
  const start = inode.block * BLOCK_BYTES;
  if (directory !== undefined) {
    const total = blockCount(inode);
    for (let first = 0; first < total; first += DIRECTORY_BLOCKS_AT_ONCE) {
      const count = Math.min(DIRECTORY_BLOCKS_AT_ONCE, total - first);
      list.addBytes(start + first * BLOCK_BYTES, count * BLOCK_BYTES, () => directoryBlocks(directory, first, count));
    }
  } else if (entry.kind === "symlink") {
    list.addBytes(start, entry.linkTarget.length, () => byteStringToBytes(entry.linkTarget));
  } else {
    list.addData(start, entry, 0, inode.size - inode.tailLength);
  }
}
