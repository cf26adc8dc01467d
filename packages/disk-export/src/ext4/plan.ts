import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { createDiskIdentity, encodeLabel, parseUuid } from "../disk-identity.js";
import type { DiskPlan, Segment } from "../disk-plan.js";
import { DiskExportError } from "../errors.js";
import { createAllocator } from "./allocator.js";
import { checksumSeed } from "./checksum.js";
import { countExtentBlocks, countExtents } from "./extents.js";
import { createGroups } from "./groups.js";
import { BLOCK_BYTES } from "./layout.js";
import { listMetadata } from "./metadata.js";
import { placeInodes } from "./placement.js";
import { encodeResizeMap } from "./resize.js";
import { fitGeometry } from "./sizing.js";
import type { Demand } from "./sizing.js";
import { readInodes } from "./tree.js";
import type { InodeTable } from "./tree.js";
import { createLossCollector } from "../losses.js";
import { createDiskPlan } from "../plan-reader.js";

const EPOCH_SECONDS_MAX = 0xffffffff;

export interface Ext4Options extends CallOptions {
  /** The disk's size, rounded down to a block of 4,096. By default the smallest that holds the tree, with some 64 KiB to spare. */
  sizeBytes?: number;
  /** Instead of a size: how much others than root can write beside the tree. */
  freeBytes?: number;
  /** At most 16 bytes of UTF-8; empty by default. */
  label?: string;
  /** `8-4-4-4-12` hex digits; by default made of the tree's metadata, so that the same tree gives the same disk. */
  uuid?: string;
  /** When the file system was made, in whole seconds since 1970 (32 bits); 0 by default. Files keep their own times. */
  epochSeconds?: number;
}

/**
 * Plans a complete ext4 disk, without a journal: writable, checksummed, and able to grow while it is mounted.
 *
 * Inodes are as many as the tree needs and a few; with `sizeBytes` or `freeBytes` also one for each 16 KiB. Holes of sparse files stay
 * holes. `/lost+found` is added to a tree that has none. The seed of directory hashes is the UUID. Losses that a plan can note: xattrs
 * outside the namespaces that ext4 has numbers for, ACLs that are none, times outside 1901 to 2446 (clamped).
 *
 * @throws {DiskExportError} `unsupported` for what ext4 cannot hold, `size_too_small` (it says how much is needed), `option_invalid`,
 * `tree_invalid`
 */
export async function planExt4(tree: FileTree, options: Ext4Options = {}): Promise<DiskPlan> {
  const { sizeBytes, freeBytes, epochSeconds = 0, signal } = options;
  signal?.throwIfAborted();
  const label = encodeLabel(options.label ?? "");
  const givenUuid = options.uuid === undefined ? undefined : parseUuid(options.uuid);
  requireEpoch(epochSeconds);

  const losses = createLossCollector();
  const identity = createDiskIdentity("ext4");
  const inodes = await readInodes(tree, { losses, identity, epochSeconds, signal });
  const { geometry, diskBlocks } = fitGeometry(measure(inodes), { sizeBytes, freeBytes });

  const volume = { uuid: givenUuid ?? identity.uuid(), label, epochSeconds };
  const seed = checksumSeed(volume.uuid);
  const allocator = createAllocator(geometry);
  const segments = placeInodes(inodes, allocator, seed);
  const resizeMapBlock = geometry.reservedDescriptorBlocks > 0 ? allocator.take(1)[0]!.start : undefined;
  if (resizeMapBlock !== undefined) {
    const bytes = (): Uint8Array => encodeResizeMap(geometry);
    segments.push({ offset: resizeMapBlock * BLOCK_BYTES, length: BLOCK_BYTES, bytes });
  }
  const groups = createGroups({ geometry, inodes, contentsEnd: allocator.position(), seed });
  const metadata = listMetadata({ geometry, groups, inodes, volume, seed, resizeMapBlock });
  return createDiskPlan({
    format: "ext4",
    sizeBytes: diskBlocks * BLOCK_BYTES,
    segments: inOrder([...metadata, ...segments]),
    losses: losses.list(),
    tree,
  });
}

function measure(inodes: InodeTable): Demand {
  let blocks = 0;
  let extentBlocks = 0;
  for (const inode of inodes) {
    if (inode === undefined) continue;
    for (const { length } of inode.ranges) blocks += length;
    if (inode.xattrs !== undefined && inode.xattrs.block.length > 0) blocks += 1;
    extentBlocks += countExtentBlocks(countExtents(inode.ranges));
  }
  return { blocks, extentBlocks, inodes: inodes.length - 1 };
}

function inOrder(segments: Segment[]): Segment[] {
  return segments.sort((left, right) => left.offset - right.offset);
}

function requireEpoch(epochSeconds: number): void {
  if (Number.isSafeInteger(epochSeconds) && epochSeconds >= 0 && epochSeconds <= EPOCH_SECONDS_MAX) return;
  const limit = `not a whole number from 0 to ${EPOCH_SECONDS_MAX}`;
  throw new DiskExportError("option_invalid", `cannot use epochSeconds ${epochSeconds}: ${limit}`);
}
