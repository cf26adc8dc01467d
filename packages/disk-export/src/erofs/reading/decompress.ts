import * as zlib from "node:zlib";

import { decompress as decompressZstd } from "fzstd";

import { COMPRESSION } from "../layout.js";
import { decodeLz4Block } from "./lz4-block-decoder.js";

/** `Z_EROFS_PCLUSTER_MAX_DSIZE`: no extent holds more. */
export const EXTENT_BYTES_MAX: number = 12 << 20;

export interface CompressedExtent {
  /** `Z_EROFS_COMPRESSION_*` */
  readonly algorithm: number;
  /** Whole blocks; where they have padding, it is in front. */
  readonly bytes: Uint8Array;
  readonly hasZeroPadding: boolean;
  readonly blockBytes: number;
  /** How many bytes the file has of it; at most {@link EXTENT_BYTES_MAX}. */
  readonly length: number;
  /** Whether it holds more than the file has of it. */
  readonly isPartial: boolean;
}

export function isKnownAlgorithm(algorithm: number): boolean {
  return algorithm === COMPRESSION.lz4 || algorithm === COMPRESSION.deflate || algorithm === COMPRESSION.zstd;
}

/** @throws what the decoder throws; RangeError where there are fewer bytes than the file is to have */
export function decompressExtent(extent: CompressedExtent): Uint8Array {
  const { algorithm, length } = extent;
  const packed = withoutPadding(extent);
  const bytes =
    algorithm === COMPRESSION.lz4
      ? decompressLz4(packed, extent)
      : algorithm === COMPRESSION.deflate
        ? zlib.inflateRawSync(packed, { maxOutputLength: EXTENT_BYTES_MAX })
        : unpackZstd(packed, extent);
  if (bytes.length < length) throw new RangeError(`an extent of ${length} bytes holds ${bytes.length}`);
  return bytes.subarray(0, length);
}

function withoutPadding({ algorithm, bytes, hasZeroPadding, blockBytes }: CompressedExtent): Uint8Array {
  if (algorithm === COMPRESSION.lz4 && !hasZeroPadding) return bytes;
  const start = bytes.subarray(0, blockBytes).findIndex((byte) => byte !== 0);
  if (start === -1) throw new RangeError("an extent is all zeros");
  return bytes.subarray(start);
}

function decompressLz4(packed: Uint8Array, { length }: CompressedExtent): Uint8Array {
  const target = new Uint8Array(length);
  const count = decodeLz4Block(packed, target);
  if (count < 0) throw new RangeError("an extent is no LZ4 block");
  return target.subarray(0, count);
}

function unpackZstd(packed: Uint8Array, { length, isPartial }: CompressedExtent): Uint8Array {
  const { zstdDecompressSync } = zlib as unknown as {
    zstdDecompressSync?: (bytes: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;
  };
  if (zstdDecompressSync !== undefined) return zstdDecompressSync(packed, { maxOutputLength: EXTENT_BYTES_MAX });
  return decompressZstd(packed, new Uint8Array(isPartial ? EXTENT_BYTES_MAX : length));
}
