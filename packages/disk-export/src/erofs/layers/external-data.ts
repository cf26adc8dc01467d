import { alignUp } from "../../byte-layout.js";
import { CHUNK_INDEX, CHUNK_INDEX_BYTES } from "../layout.js";

/** A chunk is no longer: what a 32-bit kernel can count. */
const CHUNK_BYTES_MAX = 1 << 30;

/** A file's data on another device, all of it in one run of blocks. */
export interface ExternalData {
  /** From 1, as the device table has them. */
  readonly device: number;
  readonly block: number;
  /** How many blocks a chunk has, as a power of two. */
  readonly chunkBits: number;
  readonly chunkCount: number;
}

export interface ExternalPlace {
  readonly device: number;
  readonly block: number;
  readonly sizeBytes: number;
  readonly blockBytes: number;
}

/** One chunk, as a rule: it is as long as the data and more. */
export function externalData({ device, block, sizeBytes, blockBytes }: ExternalPlace): ExternalData {
  const blocks = Math.ceil(sizeBytes / blockBytes);
  const chunkBits = Math.ceil(Math.log2(Math.min(blocks, CHUNK_BYTES_MAX / blockBytes)));
  return { device, block, chunkBits, chunkCount: Math.ceil(blocks / 2 ** chunkBits) };
}

/** @param start how many bytes of the inode come before, from a multiple of 32 */
export function chunkIndexesLength(start: number, { chunkCount }: ExternalData): number {
  return alignUp(start, CHUNK_INDEX_BYTES) - start + CHUNK_INDEX_BYTES * chunkCount;
}

export function writeChunkIndexes(data: ExternalData, target: Uint8Array, start: number): void {
  const { device, block, chunkBits, chunkCount } = data;
  const view = new DataView(target.buffer, target.byteOffset);
  let at = alignUp(start, CHUNK_INDEX_BYTES);
  for (let chunk = 0; chunk < chunkCount; chunk++) {
    view.setUint16(at + CHUNK_INDEX.device, device, true);
    view.setUint32(at + CHUNK_INDEX.block, block + chunk * 2 ** chunkBits, true);
    at += CHUNK_INDEX_BYTES;
  }
}
