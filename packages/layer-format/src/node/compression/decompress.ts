import { createGunzip } from "node:zlib";

import type { CallOptions } from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import { createPeekable } from "./source.js";
import { transformBytes } from "./stream.js";
import { decompressZstd } from "./zstd.js";

/** How a layer's blob is compressed. */
export type Compression = "none" | "gzip" | "zstd";

/** What decompressing an untrusted blob may cost. Passing one is a `layer_limit` error that names it. */
export interface DecompressLimits {
  /** Bytes of output. */
  readonly outputBytes: number;
  /** Bytes of output for each byte of input, beyond `ratioFreeBytes`. gzip reaches 1,032 on zeros, software layers 2 to 10. */
  readonly ratio: number;
  /** Output that any blob may have whatever its ratio: a layer may hold a large file of zeros. */
  readonly ratioFreeBytes: number;
  /** The window, and so the memory, of a zstd frame. */
  readonly windowBytes: number;
}

export const DEFAULT_DECOMPRESS_LIMITS: DecompressLimits = {
  outputBytes: 512 * 2 ** 30,
  ratio: 200,
  ratioFreeBytes: 2 ** 30,
  windowBytes: 128 * 2 ** 20,
};

export interface DecompressOptions extends CallOptions {
  /** Refused if it names a compression that layers may not have; otherwise the bytes decide, as they do for containerd. */
  mediaType?: string | undefined;
  limits?: Partial<DecompressLimits> | undefined;
}

/** zlib's default of 16 KiB would halve the speed, measured. */
const CHUNK_BYTES = 1 << 20;
const SNIFF_BYTES = 6;
const SIGNATURES: readonly { readonly name: string; readonly bytes: readonly number[] }[] = [
  { name: "gzip", bytes: [0x1f, 0x8b] },
  { name: "zstd", bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: "xz", bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: "bzip2", bytes: [0x42, 0x5a, 0x68] },
  { name: "lz4", bytes: [0x04, 0x22, 0x4d, 0x18] },
];

/**
 * A layer's tar from its blob, whichever of the compressions of the OCI image specification it has (layer.md, "+gzip", "+zstd").
 *
 * gzip may have several members, zstd several frames and skippable ones; checksums and sizes are checked, and nothing may
 * follow the data. Output is given as it comes: it may be trusted only when the iteration has ended. A chunk of a compressed
 * blob stays valid; a plain one's are the source's.
 *
 * @throws {LayerFormatError} `compression_invalid` for a format that layers may not have, for damaged or truncated data and
 * for what follows it; `layer_limit`. Errors of the source and `signal.reason` come through as they are.
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  options: DecompressOptions = {},
): AsyncGenerator<Uint8Array> {
  const { signal, mediaType } = options;
  signal?.throwIfAborted();
  const limits = { ...DEFAULT_DECOMPRESS_LIMITS, ...options.limits };
  checkMediaType(mediaType);
  const input = createPeekable(source, signal);
  const meter = { input: 0, output: 0 };
  try {
    const compression = detectCompression(await input.peek(SNIFF_BYTES));
    for await (const chunk of inflate(compression, measured(input.rest(), meter), limits, { signal })) {
      meter.output += chunk.length;
      checkLimits(compression, meter, limits);
      signal?.throwIfAborted();
      yield chunk;
    }
  } finally {
    const closing = input.close();
    // After an abort the source may never answer; it closes when it does.
    if (signal?.aborted) closing.catch(() => undefined);
    else await closing;
  }
}

/**
 * The compression of a blob by its first six bytes (fewer, if it has no more).
 * @throws {LayerFormatError} `compression_invalid` for xz, bzip2 and lz4.
 */
export function detectCompression(head: Uint8Array): Compression {
  // A zstd stream may begin with a skippable frame, of any of sixteen magic numbers.
  if ((head[0] ?? 0) >> 4 === 5 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18) return "zstd";
  const found = SIGNATURES.find(({ bytes }) => bytes.every((byte, index) => head[index] === byte));
  if (found === undefined) return "none";
  if (found.name === "bzip2" && !isBzip2(head)) return "none";
  if (found.name === "gzip" || found.name === "zstd") return found.name;
  throw new LayerFormatError("compression_invalid", `cannot decompress layer: no layer may be ${found.name}`);
}

/** `BZh` could begin a file's name; a level and the block's magic number follow it. */
function isBzip2(head: Uint8Array): boolean {
  const level = head[3] ?? 0;
  return level >= 0x31 && level <= 0x39 && head[4] === 0x31 && head[5] === 0x41;
}

function checkMediaType(mediaType: string | undefined): void {
  const named = /tar[.+](.+)$/.exec(mediaType ?? "")?.[1];
  if (named !== undefined && named !== "gzip" && named !== "zstd") {
    const rule = `media type ${JSON.stringify(mediaType?.slice(0, 160))} is not gzip, zstd or plain`;
    throw new LayerFormatError("compression_invalid", `cannot decompress layer: ${rule}`);
  }
}

function inflate(
  compression: Compression,
  source: AsyncGenerator<Uint8Array>,
  { windowBytes }: DecompressLimits,
  { signal }: CallOptions,
): AsyncGenerator<Uint8Array> {
  if (compression === "none") return source;
  if (compression === "zstd") return decompressZstd(source, { windowBytes, signal });
  return transformBytes(source, createGunzip({ chunkSize: CHUNK_BYTES }), damagedGzip, { signal });
}

function damagedGzip(rule: string, cause?: unknown): LayerFormatError {
  const detail = cause instanceof Error ? cause.message : rule;
  const message = `cannot decompress layer: the gzip stream is damaged: ${detail}`;
  return new LayerFormatError("compression_invalid", message, { cause });
}

interface Meter {
  input: number;
  output: number;
}

async function* measured(source: AsyncIterable<Uint8Array>, meter: Meter): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    meter.input += chunk.length;
    yield chunk;
  }
}

function checkLimits(compression: Compression, meter: Meter, limits: DecompressLimits): void {
  const { outputBytes, ratio, ratioFreeBytes } = limits;
  if (meter.output > outputBytes) {
    throw new LayerFormatError("layer_limit", `cannot decompress layer: the tar has over ${outputBytes} bytes`);
  }
  if (compression !== "none" && meter.output > ratioFreeBytes + ratio * meter.input) {
    throw new LayerFormatError("layer_limit", `cannot decompress layer: it grows over ${ratio}-fold`);
  }
}
