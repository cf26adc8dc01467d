import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createDiskIdentity, encodeLabel, parseUuid } from "../disk-identity.js";
import type { DiskPlan, Segment } from "../disk-plan.js";
import { DiskExportError } from "../errors.js";
import { requireKernel } from "../kernel-version.js";
import type { KernelFeature } from "../kernel-version.js";
import { createLossCollector } from "../losses.js";
import { createDiskPlan } from "../plan-reader.js";
import { createAllocator } from "./allocator.js";
import type { Allocator } from "./allocator.js";
import { checksumSeed } from "./checksum.js";
import { countBlocks, hasXattrBlock, mapContents, sortContents, takeBlocks } from "./contents.js";
import { createGroups } from "./groups.js";
import { writeInode } from "./inode.js";
import type { Inode } from "./inode.js";
import { encodeJournalHead } from "./journal.js";
import type { JournalPolicy } from "./journal.js";
import { BLOCK_BYTES, INODE_BYTES, JOURNAL_INODE } from "./layout.js";
import { listMetadata } from "./metadata.js";
import { namelessEntry } from "./own-entries.js";
import { listContents, listExtentBlocks } from "./placement.js";
import { encodeResizeMap } from "./resize.js";
import { createScratch } from "./scratch.js";
import { fitGeometry } from "./sizing.js";
import { createNamelessInode, packDirectories, readInodes } from "./tree.js";
import type { InodeTable } from "./tree.js";

const EPOCH_SECONDS_MAX = 0xffffffff;

/** As ext4(5) has it. */
const CHECKSUMS: KernelFeature = { name: "checksums of metadata (metadata_csum)", since: "3.18" };
const VALUE_INODES: KernelFeature = { name: "inodes for values of xattrs (ea_inode)", since: "4.13" };

export interface Ext4Options extends CallOptions {
  /** The disk's size, rounded down to a block of 4,096. By default the smallest that holds the tree, with some 64 KiB to spare. */
  sizeBytes?: number;
  /** Instead of a size: how much others than root can write beside the tree. */
  freeBytes?: number;
  /**
   * Whether the file system has a journal, which repairs it after a power cut. By default where a size or a free size says that the
   * disk is to be written to, if it has 8 MiB; as large as mke2fs makes it, from 4 MiB to 1 GiB, and not written but for one block.
   */
  journal?: boolean;
  /** At least so many inodes, those of the tree and eleven included. */
  inodes?: number;
  /** How much of the disk only root may fill, in percent up to 50; 0 by default. It is not part of `freeBytes`. */
  reservedPercent?: number;
  /** A version of Linux that has to read the disk, as "6.1". */
  kernel?: string;
  /** At most 16 bytes of UTF-8; empty by default. */
  label?: string;
  /** `8-4-4-4-12` hex digits; by default made of the tree's metadata, so that the same tree gives the same disk. */
  uuid?: string;
  /** When the file system was made, in whole seconds since 1970 (32 bits); 0 by default. Files keep their own times. */
  epochSeconds?: number;
}

/**
 * Plans a complete ext4 disk: writable, checksummed, and able to grow while it is mounted.
 *
 * Inodes are as many as the tree needs and a few; with `sizeBytes` or `freeBytes` also one for each 16 KiB. Holes of sparse files stay
 * holes; large directories have an index (htree); values of xattrs that have no room beside their inode get inodes of their own, up to
 * 64 KiB each. `/lost+found` is added to a tree that has none. The seed of directory hashes is the UUID. Losses that a plan can note:
 * xattrs outside the namespaces that ext4 has numbers for, ACLs that are none, times outside 1901 to 2446 (clamped).
 *
 * @throws {DiskExportError} `unsupported` for what ext4 or the `kernel` cannot hold, `size_too_small` (it says how much is needed),
 * `option_invalid`, `tree_invalid`
 */
export async function planExt4(tree: FileTree, options: Ext4Options = {}): Promise<DiskPlan> {
  const { epochSeconds = 0, signal } = options;
  signal?.throwIfAborted();
  const label = encodeLabel(options.label ?? "");
  const givenUuid = options.uuid === undefined ? undefined : parseUuid(options.uuid);
  requireEpoch(epochSeconds);
  requireKernel([CHECKSUMS], options.kernel);

  const losses = createLossCollector();
  const identity = createDiskIdentity("ext4");
  const inodes = await readInodes(tree, { losses, identity, epochSeconds, signal });
  const hasValueInodes = inodes.at(-1)?.value !== undefined;
  const kernel = requireKernel(hasValueInodes ? [CHECKSUMS, VALUE_INODES] : [CHECKSUMS], options.kernel);
  const uuid = givenUuid ?? identity.uuid();
  packDirectories(inodes, uuid);

  const sorted = sortContents(inodes);
  const { geometry, diskBlocks, journalBlocks, rootBlocks } = fitGeometry(
    {
      blocks: countLeast(inodes),
      inodes: inodes.length - 1,
      blocksOn: (fitting, blocks) => countBlocks({ ...sorted, journalBlocks: blocks }, fitting),
    },
    { ...options, journal: journalPolicy(options) },
  );
  const contents = { ...sorted, journalBlocks };
  const allocator = createAllocator(geometry);
  takeBlocks(contents, allocator);
  const journal = journalBlocks > 0 ? placeJournal(allocator, journalBlocks, epochSeconds) : undefined;
  const resizeMapBlock = geometry.reservedDescriptorBlocks > 0 ? allocator.take(1)[0]!.start : undefined;

  const seed = checksumSeed(uuid);
  const volume = {
    uuid,
    label,
    epochSeconds,
    rootBlockCount: rootBlocks,
    journalInode: journal === undefined ? undefined : encodeInode(journal, seed),
    hasValueInodes,
  };
  const segments = listContents(contents, seed);
  if (journal !== undefined) {
    const offset = journal.extents[0]!.physical * BLOCK_BYTES;
    segments.push({ offset, length: BLOCK_BYTES, bytes: () => encodeJournalHead(journal, uuid) });
    segments.push(...listExtentBlocks(journal, seed));
  }
  if (resizeMapBlock !== undefined) {
    const bytes = (): Uint8Array => encodeResizeMap(geometry);
    segments.push({ offset: resizeMapBlock * BLOCK_BYTES, length: BLOCK_BYTES, bytes });
  }
  const groups = createGroups({ geometry, inodes, contentsEnd: allocator.position(), seed });
  const metadata = listMetadata({ geometry, groups, inodes, volume, seed, resizeMapBlock, journal });
  return createDiskPlan({
    format: "ext4",
    sizeBytes: diskBlocks * BLOCK_BYTES,
    segments: inOrder([...metadata, ...segments]),
    losses: losses.list(),
    tree,
    kernel,
  });
}

function journalPolicy({ journal, sizeBytes, freeBytes }: Ext4Options): JournalPolicy {
  if (journal !== undefined) return journal ? "always" : "never";
  return sizeBytes === undefined && freeBytes === undefined ? "never" : "usual";
}

function placeJournal(allocator: Allocator, blockCount: number, epochSeconds: number): Inode {
  const journal = createNamelessInode(JOURNAL_INODE, namelessEntry(blockCount * BLOCK_BYTES, epochSeconds), blockCount);
  mapContents(journal, allocator);
  return journal;
}

function encodeInode(inode: Inode, seed: number): Uint8Array {
  const scratch = createScratch(INODE_BYTES);
  writeInode(scratch, 0, inode, seed);
  return scratch.bytes;
}

/** What contents take where nothing lies between them, without blocks of extents. */
function countLeast(inodes: InodeTable): number {
  let blocks = 0;
  for (const inode of inodes) {
    if (inode === undefined) continue;
    for (const { length } of inode.ranges) blocks += length;
    if (hasXattrBlock(inode)) blocks += 1;
  }
  return blocks;
}

function inOrder(segments: Segment[]): Segment[] {
  return segments.sort((left, right) => left.offset - right.offset);
}

function requireEpoch(epochSeconds: number): void {
  if (Number.isSafeInteger(epochSeconds) && epochSeconds >= 0 && epochSeconds <= EPOCH_SECONDS_MAX) return;
  const limit = `not a whole number from 0 to ${EPOCH_SECONDS_MAX}`;
  throw new DiskExportError("option_invalid", `cannot use epochSeconds ${epochSeconds}: ${limit}`);
}
