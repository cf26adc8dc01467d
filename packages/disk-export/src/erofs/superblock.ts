import { crc32c } from "../crc32c.js";
import {
  BLOCK_BITS,
  BLOCK_BYTES,
  FEATURES_COMPAT,
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
  readonly uuid: Uint8Array;
  readonly label: Uint8Array;
}

/** The superblock, checksum included. */
export function encodeSuperblock({
  rootNid,
  inodeCount,
  blockCount,
  buildSeconds,
  uuid,
  label,
}: ErofsSuperblock): Uint8Array {
  // The checksum covers the rest of the block, which holds nothing else.
  const bytes = new Uint8Array(BLOCK_BYTES - SUPERBLOCK_OFFSET);
  const view = new DataView(bytes.buffer);
  view.setUint32(SUPERBLOCK.magic, SUPERBLOCK_MAGIC, true);
  view.setUint32(SUPERBLOCK.featureCompat, FEATURES_COMPAT, true);
  view.setUint8(SUPERBLOCK.blockBits, BLOCK_BITS);
  view.setUint16(SUPERBLOCK.rootNid, rootNid, true);
  view.setBigUint64(SUPERBLOCK.inodeCount, BigInt(inodeCount), true);
  view.setBigUint64(SUPERBLOCK.buildTime, BigInt(buildSeconds), true);
  view.setUint32(SUPERBLOCK.blockCount, blockCount, true);
  bytes.set(uuid, SUPERBLOCK.uuid);
  bytes.set(label, SUPERBLOCK.label);
  view.setUint32(SUPERBLOCK.checksum, crc32c(0xffffffff, bytes), true);
  return bytes.subarray(0, SUPERBLOCK_BYTES);
}
