import { gunzipSync } from "node:zlib";

import {
  type CallOptions,
  type Descriptor,
  digestAlgorithm,
  digestOf,
  type RangeFetcher,
  RefsError,
} from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import type { Layer } from "../../layer.js";
import { layerFromToc, type TocLayerOptions } from "../../toc/layer.js";
import type { ChunkSource, LayerToc, TocChunk } from "../../toc/toc.js";
import { createBlobRange, type BlobBytes } from "./blob-range.js";
import { decompress } from "../compression/decompress.js";

/** Chunks closer to each other than this are fetched together: a request costs more than these bytes do. */
const MAX_GAP_BYTES = 64 * 1024;
/** What one request brings at most, unless a single chunk is larger. */
const MAX_REQUEST_BYTES = 16 * 2 ** 20;
/** Up to here a member is unpacked in one call, which is five times as fast for small files. */
const SMALL_BYTES = 128 * 1024;
/** What a small member may hold after the data: the headers of the entries that follow. */
const SMALL_REST_BYTES = 64 * 1024;

/**
 * A layer over its table of contents, its data read by ranges of its blob.
 * See {@link layerFromToc} for the guarantees, {@link createChunkSource} for the requests.
 */
export function openTocLayer(
  source: RangeFetcher,
  descriptor: Descriptor,
  toc: LayerToc,
  options: TocLayerOptions,
): Layer {
  return layerFromToc(createChunkSource(source, descriptor, toc), toc, options);
}

/**
 * Chunks from a blob: fetched by range, neighbours in one request of up to 16 MiB, unpacked from the member that the table names,
 * and checked. In memory are the chunk at work and, of its member, no more than what zlib holds.
 *
 * @throws {LayerFormatError} `compression_invalid` for a member that is damaged or gives less than the table says. Errors of the source
 * pass as they are.
 */
export function createChunkSource(source: RangeFetcher, descriptor: Descriptor, toc: LayerToc): ChunkSource {
  return {
    async *readChunks(first, count, { signal } = {}) {
      signal?.throwIfAborted();
      const wanted = toc.chunks.slice(first, first + count);
      if (first < 0 || wanted.length !== count)
        throw new RangeError(`cannot read chunks ${first} to ${first + count - 1}`);
      for (const run of splitRuns(wanted)) yield* readRun(source, descriptor, run, { signal });
    },
  };
}

/** Chunks that one request brings. */
function* splitRuns(chunks: readonly TocChunk[]): Generator<TocChunk[]> {
  let run: TocChunk[] = [];
  for (const chunk of chunks) {
    const [head] = run;
    const last = run.at(-1);
    const fits =
      head !== undefined &&
      last !== undefined &&
      (chunk.blobOffset === last.blobOffset ||
        (chunk.blobOffset - last.blobEnd <= MAX_GAP_BYTES && chunk.blobEnd - head.blobOffset <= MAX_REQUEST_BYTES));
    if (!fits && run.length > 0) {
      yield run;
      run = [];
    }
    run.push(chunk);
  }
  if (run.length > 0) yield run;
}

async function* readRun(
  source: RangeFetcher,
  descriptor: Descriptor,
  run: readonly TocChunk[],
  options: CallOptions,
): AsyncGenerator<Uint8Array> {
  const head = run[0];
  const last = run.at(-1);
  if (head === undefined || last === undefined) return;
  const range = { offset: head.blobOffset, length: last.blobEnd - head.blobOffset };
  await using blob = createBlobRange(source.fetchRange(descriptor, range, options), descriptor, range, options);
  for (let index = 0; index < run.length;) {
    const start = run[index]?.blobOffset;
    let end = index;
    while (run[end] !== undefined && run[end]?.blobOffset === start) end++;
    yield* readMember(blob, descriptor, run.slice(index, end), options);
    index = end;
  }
}

/** The chunks of one member, which is unpacked no further than they reach. */
async function* readMember(
  blob: BlobBytes,
  descriptor: Descriptor,
  chunks: readonly TocChunk[],
  options: CallOptions,
): AsyncGenerator<Uint8Array> {
  const [first] = chunks;
  const last = chunks.at(-1);
  if (first === undefined || last === undefined) return;
  await blob.seek(first.blobOffset);
  const packedBytes = last.blobEnd - first.blobOffset;
  const neededBytes = last.innerOffset + last.size;
  const bytes = unpackMember(blob, packedBytes, neededBytes, options);
  let position = 0;
  let index = 0;
  let chunk: TocChunk | undefined = first;
  let data: Uint8Array | undefined;
  for await (const piece of bytes) {
    options.signal?.throwIfAborted();
    let at = 0;
    while (chunk !== undefined && at < piece.length) {
      const skipped = Math.min(piece.length - at, Math.max(0, chunk.innerOffset - position));
      at += skipped;
      position += skipped;
      if (position < chunk.innerOffset) break;
      data ??= new Uint8Array(chunk.size);
      const filled = position - chunk.innerOffset;
      const part = piece.subarray(at, at + chunk.size - filled);
      data.set(part, filled);
      at += part.length;
      position += part.length;
      if (filled + part.length < chunk.size) break;
      yield verified(data, chunk, descriptor);
      data = undefined;
      chunk = chunks[++index];
    }
    if (chunk === undefined) return;
  }
  throw new LayerFormatError(
    "compression_invalid",
    `cannot read layer ${descriptor.digest}: the data at byte ${first.blobOffset} ends after ${position} of ${neededBytes} bytes`,
  );
}

async function* unpackMember(
  blob: BlobBytes,
  packedBytes: number,
  neededBytes: number,
  options: CallOptions,
): AsyncGenerator<Uint8Array> {
  const limits = { outputBytes: neededBytes + 2 * 2 ** 20, ratioFreeBytes: neededBytes + 2 * 2 ** 20 };
  if (packedBytes > SMALL_BYTES) {
    yield* decompress(blob.take(packedBytes), { ...options, limits });
    return;
  }
  const packed: Uint8Array[] = [];
  for await (const piece of blob.take(packedBytes)) packed.push(new Uint8Array(piece));
  const member = Buffer.concat(packed);
  const whole = unpackSmall(member, neededBytes + SMALL_REST_BYTES);
  if (whole !== undefined) yield whole;
  else yield* decompress(once(member), { ...options, limits });
}

/** Undefined for what is no gzip, is damaged, or larger: the general way tells which. */
function unpackSmall(member: Buffer, maxOutputLength: number): Uint8Array | undefined {
  if (member[0] !== 0x1f || maxOutputLength > 2 * 2 ** 20) return undefined;
  try {
    return gunzipSync(member, { maxOutputLength });
  } catch {
    return undefined;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function verified(bytes: Uint8Array, chunk: TocChunk, descriptor: Descriptor): Uint8Array {
  const digest = digestOf(bytes, digestAlgorithm(chunk.digest));
  if (digest === chunk.digest) return bytes;
  throw new RefsError(
    "digest_mismatch",
    `cannot read layer ${descriptor.digest}: the chunk at byte ${chunk.blobOffset} is ${digest}, not ${chunk.digest}`,
  );
}
