import { writeInt64 } from "../byte-layout.js";
import { crc32c } from "../crc32c.js";
import {
  BLOCK_BYTES,
  DEVICE_SLOT,
  DEVICE_SLOT_BYTES,
  FEATURE_CHECKSUM,
  FEATURE_MTIME,
  SUPERBLOCK,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_MAGIC,
  SUPERBLOCK_OFFSET,
} from "./layout.js";

export interface ErofsSuperblock {
  readonly rootNid: number;
  readonly inodeCount: number;
  readonly blockCount: number;
  readonly buildSeconds: number;
  /** The block in which the area of shared xattrs begins; 0 where there is none. */
  readonly xattrBlock: number;
  readonly uuid: Uint8Array;
  readonly label: Uint8Array;
  readonly featuresIncompat: number;
  /** What decompressing takes; absent where nothing is compressed. */
  readonly compression?: CompressionConfig | undefined;
  /** 4096 by default. */
  readonly blockBytes?: number;
  /** The other devices on which data lies, in the order of their numbers, which begin at 1. */
  readonly devices?: readonly DeviceSlot[];
}

export interface DeviceSlot {
  readonly blockCount: number;
  /** Where it begins if all devices are one behind this disk. */
  readonly mappedBlock: number;
}

export interface CompressionConfig {
  /** `Z_EROFS_COMPRESSION_*` */
  readonly algorithm: number;
  /** `struct z_erofs_lz4_cfgs` or another's. */
  readonly config: Uint8Array;
}

/** The superblock, checksum included, and what follows it. */
export function encodeSuperblock({
  rootNid,
  inodeCount,
  blockCount,
  buildSeconds,
  xattrBlock,
  uuid,
  label,
  featuresIncompat,
  compression,
  blockBytes = BLOCK_BYTES,
  devices = [],
}: ErofsSuperblock): Uint8Array {
  // The checksum covers the rest of the block. Blocks that end before it have none: erofs-utils 1.8 crashes on one there.
  const checkedLength = Math.max(blockBytes - SUPERBLOCK_OFFSET, 0);
  const bytes = new Uint8Array(Math.max(checkedLength, SUPERBLOCK_BYTES + DEVICE_SLOT_BYTES * devices.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(SUPERBLOCK.magic, SUPERBLOCK_MAGIC, true);
  view.setUint32(SUPERBLOCK.featureCompat, checkedLength > 0 ? FEATURE_CHECKSUM | FEATURE_MTIME : FEATURE_MTIME, true);
  view.setUint8(SUPERBLOCK.blockBits, Math.log2(blockBytes));
  view.setUint16(SUPERBLOCK.rootNid, rootNid, true);
  writeInt64(view, SUPERBLOCK.inodeCount, inodeCount);
  writeInt64(view, SUPERBLOCK.buildTime, buildSeconds);
  view.setUint32(SUPERBLOCK.blockCount, blockCount, true);
  view.setUint32(SUPERBLOCK.xattrBlock, xattrBlock, true);
  bytes.set(uuid, SUPERBLOCK.uuid);
  bytes.set(label, SUPERBLOCK.label);
  view.setUint32(SUPERBLOCK.featureIncompat, featuresIncompat, true);
  let end = SUPERBLOCK_BYTES;
  if (compression !== undefined) {
    const { algorithm, config } = compression;
    view.setUint16(SUPERBLOCK.algorithms, 1 << algorithm, true);
    view.setUint16(end, config.length, true);
    bytes.set(config, end + 2);
    end += 2 + config.length;
  }
  if (devices.length > 0) {
    view.setUint16(SUPERBLOCK.deviceCount, devices.length, true);
    view.setUint16(SUPERBLOCK.deviceTableSlot, (SUPERBLOCK_OFFSET + end) / DEVICE_SLOT_BYTES, true);
    for (const { blockCount: blocks, mappedBlock } of devices) {
      view.setUint32(end + DEVICE_SLOT.blockCount, blocks, true);
      view.setUint32(end + DEVICE_SLOT.mappedBlock, mappedBlock, true);
      end += DEVICE_SLOT_BYTES;
    }
  }
  if (checkedLength > 0) {
    view.setUint32(SUPERBLOCK.checksum, crc32c(0xffffffff, bytes.subarray(0, checkedLength)), true);
  }
  return bytes.subarray(0, end);
}
