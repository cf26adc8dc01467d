import type { Transform } from "node:stream";
import * as zlib from "node:zlib";

import type { CallOptions } from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import type { Compression } from "../compression/decompress.js";
import { transformBytes } from "../compression/stream.js";

export interface CompressOptions extends CallOptions {
  /** By default gzip, which every consumer of images knows. */
  compression?: Compression | undefined;
  /** gzip: 1 to 9, by default 6. zstd: 1 to 22, by default 3. More takes longer and makes less. None for `none`. */
  level?: number | undefined;
}

type ZlibStream = Transform & { readonly bytesWritten: number };

/** From Node 22.15 on; the types are those of Node 20. */
const { createZstdCompress } = zlib as {
  createZstdCompress?: (options: { chunkSize: number; params: Record<number, number> }) => ZlibStream;
};
const ZSTD_C_COMPRESSION_LEVEL = 100;
const ZSTD_C_CHECKSUM_FLAG = 201;

const CHUNK_BYTES = 1 << 20;
/** RFC 1952, section 2.3: which system wrote it, 255 for one that is not told. */
const GZIP_OS_AT = 9;
const GZIP_OS_UNKNOWN = 255;

const LEVELS: Readonly<Record<Compression, { readonly most: number; readonly standard: number }>> = {
  none: { most: 0, standard: 0 },
  gzip: { most: 9, standard: 6 },
  zstd: { most: 22, standard: 3 },
};

/** @throws {RangeError} for a level that the compression does not have. */
function checkLevel(compression: Compression, level: number | undefined): void {
  const { most } = LEVELS[compression];
  if (level === undefined || (Number.isInteger(level) && level >= 1 && level <= most)) return;
  throw new RangeError(
    most === 0
      ? "cannot use a level: nothing is compressed"
      : `cannot use level ${level} for ${compression}: not a whole number from 1 to ${most}`,
  );
}

/** One gzip member or zstd frame, the same bytes for the same input and version of Node: no time, no name, no system. */
export function compress(source: AsyncIterable<Uint8Array>, options: CompressOptions): AsyncIterable<Uint8Array> {
  const { compression = "gzip", level = LEVELS[compression].standard, signal } = options;
  checkLevel(compression, options.level);
  if (compression === "none") return source;
  const failed = (rule: string, cause?: unknown): Error =>
    new Error(`cannot compress layer with ${compression}: ${rule}`, { cause });
  if (compression === "gzip") {
    const gzip = zlib.createGzip({ level, chunkSize: CHUNK_BYTES });
    return withoutSystem(transformBytes(source, gzip, failed, { signal }));
  }
  if (createZstdCompress === undefined) {
    throw new LayerFormatError(
      "compression_unavailable",
      `cannot compress layer with zstd: that needs Node 22.15 or later, this is ${process.versions.node}`,
    );
  }
  const params = { [ZSTD_C_COMPRESSION_LEVEL]: level, [ZSTD_C_CHECKSUM_FLAG]: 1 };
  return transformBytes(source, createZstdCompress({ chunkSize: CHUNK_BYTES, params }), failed, { signal });
}

/** zlib tells the system that it runs on. */
async function* withoutSystem(gzip: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let position = 0;
  for await (const chunk of gzip) {
    const at = GZIP_OS_AT - position;
    if (at >= 0 && at < chunk.length) chunk[at] = GZIP_OS_UNKNOWN;
    position += chunk.length;
    yield chunk;
  }
}
