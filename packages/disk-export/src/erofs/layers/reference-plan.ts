import type { Entry, FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { alignUp } from "../../byte-layout.js";
import { createDiskIdentity, encodeLabel, parseUuid } from "../../disk-identity.js";
import type { ByteSource, DiskPlan, Segment } from "../../disk-plan.js";
import { externalData } from "./external-data.js";
import { inodeNid } from "../inode.js";
import type { ErofsInode } from "../inode.js";
import {
  BLOCK_BYTES,
  BLOCKS_MAX,
  DEVICE_SLOT_BYTES,
  DEVICES_MAX,
  FEATURE_CHUNKED_FILES,
  FEATURE_DEVICE_TABLE,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSET,
} from "../layout.js";
import { placeInodes } from "../placement.js";
import { listSegments } from "../segments.js";
import { encodeSuperblock } from "../superblock.js";
import type { DeviceSlot } from "../superblock.js";
import { readErofsTree } from "../tree.js";
import { createXattrTable } from "../xattr.js";
import { DiskExportError } from "../../errors.js";
import { requireKernel } from "../../kernel-version.js";
import type { KernelFeature } from "../../kernel-version.js";
import { createLossCollector } from "../../losses.js";
import { createDiskPlan } from "../../plan-reader.js";

const DEVICE_TABLE_FEATURE: KernelFeature = { name: "data on other devices", since: "5.16" };
const SMALL_BLOCKS_FEATURE: KernelFeature = { name: "blocks of 512 bytes", since: "6.4" };
const ONE_DEVICE_FEATURE: KernelFeature = { name: "all devices as one", since: "6.4" };

export interface ErofsReferenceOptions extends CallOptions {
  /** `8-4-4-4-12` hex digits; by default made of the tree's metadata. */
  uuid?: string;
  /** At most 16 bytes of UTF-8; empty by default. */
  label?: string;
  /** When the disk was made, in whole seconds since 1970; 0 by default. */
  epochSeconds?: number;
  /**
   * The disk ends with the data of all devices, as one file that is mounted without `device=`. By default they stay files of their own, given to mount(8) in the layers'
   * order, the lowest first: `-o device=/dev/loop1,device=/dev/loop2`, from Linux 6.12 on also as files.
   */
  concatenated?: boolean;
  /** A version of Linux that has to read the disk, as "6.1". */
  kernel?: string;
}

/** Where data lies that the disk refers to. */
interface DataDevice extends ByteSource {
  readonly sizeBytes: number;
}

export interface ReferenceTree {
  readonly tree: FileTree;
  readonly blockBytes: number;
  readonly devices: readonly DataDevice[];
  /** Where a file's data is, without a hole and from a block's start; undefined where the disk itself is to have it. */
  locate(entry: Entry): { readonly device: number; readonly offset: number } | undefined;
}

/**
 * A disk of metadata, whose files' data lies on other devices.
 * @throws {DiskExportError} `unsupported`, `option_invalid`, `tree_invalid`
 */
export async function planReferences(
  { tree, blockBytes, devices, locate }: ReferenceTree,
  options: ErofsReferenceOptions,
): Promise<DiskPlan> {
  const { signal, epochSeconds = 0, concatenated = false } = options;
  signal?.throwIfAborted();
  const label = encodeLabel(options.label ?? "");
  const givenUuid = options.uuid === undefined ? undefined : parseUuid(options.uuid);
  if (!Number.isSafeInteger(epochSeconds) || epochSeconds < 0) {
    throw new DiskExportError("option_invalid", `cannot use epochSeconds ${epochSeconds}: not a whole number from 0`);
  }
  if (devices.length > DEVICES_MAX) {
    throw new DiskExportError(
      "unsupported",
      `cannot refer to ${devices.length} devices from an EROFS disk: the limit is ${DEVICES_MAX}`,
    );
  }
  const features = [DEVICE_TABLE_FEATURE];
  if (blockBytes !== BLOCK_BYTES) features.push(SMALL_BLOCKS_FEATURE);
  if (concatenated) features.push(ONE_DEVICE_FEATURE);
  const kernel = requireKernel(features, options.kernel);

  const losses = createLossCollector();
  const identity = createDiskIdentity(`erofs ${blockBytes}`);
  const xattrs = createXattrTable();
  const inodes = await readErofsTree(tree, { losses, identity, xattrs, blockBytes, signal });
  for (const inode of inodes) refer(inode);

  const tableEnd = SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES + DEVICE_SLOT_BYTES * devices.length;
  const inodesStart = alignUp(tableEnd, BLOCK_BYTES);
  const placement = placeInodes(inodes, { xattrAreaLength: xattrs.areaLength(), blockBytes, inodesStart });
  const ownBlocks = alignUp(placement.blockCount * blockBytes, BLOCK_BYTES) / blockBytes;
  const { slots, end } = mapDevices(devices, { from: ownBlocks, blockBytes });
  const { xattrAreaStart } = placement;
  const superblock = encodeSuperblock({
    rootNid: inodeNid(placement.inodes[0]!),
    inodeCount: placement.inodes.length,
    blockCount: ownBlocks,
    buildSeconds: epochSeconds,
    // Ids of shared xattrs count from a multiple of 4096.
    xattrBlock: xattrs.areaLength() === 0 ? 0 : (xattrAreaStart - (xattrAreaStart % BLOCK_BYTES)) / blockBytes,
    uuid: givenUuid ?? identity.uuid(),
    label,
    featuresIncompat: FEATURE_CHUNKED_FILES | FEATURE_DEVICE_TABLE,
    blockBytes,
    devices: slots,
  });
  const segments = listSegments({ superblock, placement, xattrs, spool: undefined });
  if (concatenated) segments.push(...deviceSegments(devices, { slots, blockBytes }));
  return createDiskPlan({
    format: "erofs",
    sizeBytes: (concatenated ? end : ownBlocks) * blockBytes,
    segments,
    losses: losses.list(),
    kernel,
    tree,
  });

  function refer(inode: ErofsInode): void {
    if (inode.entry.kind !== "file" || inode.size === 0) return;
    const place = locate(inode.entry);
    if (place === undefined) return;
    const { device, offset } = place;
    const { size: sizeBytes } = inode;
    inode.external = externalData({ device: device + 1, block: offset / blockBytes, sizeBytes, blockBytes });
  }
}

interface MappedDevices {
  readonly slots: readonly DeviceSlot[];
  /** In blocks. */
  readonly end: number;
}

function mapDevices(
  devices: readonly DataDevice[],
  { from, blockBytes }: { from: number; blockBytes: number },
): MappedDevices {
  let end = from;
  const slots = devices.map(({ sizeBytes }) => {
    const slot = { blockCount: Math.ceil(sizeBytes / blockBytes), mappedBlock: end };
    end += slot.blockCount;
    return slot;
  });
  if (end > BLOCKS_MAX) {
    throw new DiskExportError(
      "unsupported",
      `cannot refer to ${end} blocks of ${blockBytes} bytes from an EROFS disk: the limit is ${BLOCKS_MAX}`,
    );
  }
  return { slots, end };
}

function deviceSegments(
  devices: readonly DataDevice[],
  { slots, blockBytes }: { slots: readonly DeviceSlot[]; blockBytes: number },
): Segment[] {
  return devices.flatMap((source, index) => {
    const offset = slots[index]!.mappedBlock * blockBytes;
    return source.sizeBytes === 0 ? [] : [{ offset, length: source.sizeBytes, source, sourceOffset: 0 }];
  });
}
