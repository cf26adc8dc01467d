import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

import { decompress, writeLayer } from "@lamella/layer-format/node";
import { OciClientError } from "@lamella/oci-client";
import { LamellaError, verifyContent } from "@lamella/refs";
import type { CallOptions, Descriptor, Fetcher, RangeFetcher } from "@lamella/refs";

import type { ContentStore } from "./content-store.js";
import { ImageStoreError } from "./errors.js";
import type { ImageLayer } from "./image.js";
import type { Ingest } from "./ingest.js";
import { systemFailure } from "./system-error.js";

export interface LayerWork extends CallOptions {
  /** Where the layer's archive is to be; `undefined` where it is already. */
  readonly directory: string | undefined;
  /** Told how much of the blob has passed. */
  progress(doneBytes: number): void;
}

/** Reads a layer's blob to its end and makes its archive, unless that is there. */
export async function readLayer(
  bytes: AsyncIterable<Uint8Array>,
  { descriptor, diffID }: ImageLayer,
  work: LayerWork,
): Promise<void> {
  const { directory, signal, progress } = work;
  const passing = counted(bytes, progress);
  if (directory !== undefined) {
    await mkdir(dirname(directory), { recursive: true });
    await writeLayer(directory, decompress(passing, { mediaType: descriptor.mediaType, signal }), { diffID, signal });
  }
  // all of it unless the archive was made, or it is there by now, made by another pull
  for await (const chunk of passing) void chunk;
}

/**
 * One pass: what is fetched goes into the blob and, inflated, into the archive. The blob counts once both have been verified.
 * When the source fails or the work is stopped or killed, what has come is left for the next fetch to go on from.
 */
export async function fetchLayer(
  content: ContentStore,
  source: Fetcher,
  layer: ImageLayer,
  work: LayerWork,
): Promise<void> {
  const { digest } = layer.descriptor;
  const ingest = await content.ingest(digest);
  const resumed = ingest.size > 0;
  let isWhole = false;
  async function* verified(): AsyncGenerator<Uint8Array> {
    yield* throughIngest(ingest, source, layer.descriptor, work);
    isWhole = true;
  }
  try {
    await readLayer(verified(), layer, work);
    if (!isWhole) throw new ImageStoreError("store_invalid", `cannot keep blob ${digest}: it was not read to its end`);
    await ingest.commit(digest);
  } catch (error) {
    const stopped = work.signal?.aborted === true;
    if (!stopped && resumed && isFaultOfResuming(error)) {
      // what was left may have been damaged, or the registry serves no ranges: once more, from the start
      await ingest[Symbol.asyncDispose]();
      return await fetchLayer(content, source, layer, work);
    }
    if (isWorthKeeping(stopped ? work.signal?.reason : error, stopped)) await ingest.release();
    throw error;
  } finally {
    await ingest[Symbol.asyncDispose]();
  }
}

/** Where the system was in the way, here or of a layer beside it, what has come is in its way too. */
function isWorthKeeping(reason: unknown, stopped: boolean): boolean {
  return systemFailure(reason) === undefined && (stopped || reason instanceof OciClientError);
}

function isFaultOfResuming(error: unknown): boolean {
  if (error instanceof OciClientError) return error.code === "range_unusable";
  return error instanceof LamellaError;
}

/** All bytes of a blob, verified: those that the ingest has already, then those that it takes now. */
async function* throughIngest(
  ingest: Ingest,
  source: Fetcher,
  descriptor: Descriptor,
  options: CallOptions,
): AsyncGenerator<Uint8Array> {
  const offset = ingest.size;
  if (offset === 0 || offset > descriptor.size || !canFetchRanges(source)) {
    await ingest.restart();
    yield* alsoInto(ingest, source.fetch(descriptor, options));
    return;
  }
  const rest = source.fetchRange(descriptor, { offset, length: descriptor.size - offset }, options);
  async function* whole(): AsyncGenerator<Uint8Array> {
    yield* ingest.read(options);
    yield* alsoInto(ingest, rest);
  }
  yield* verifyContent(descriptor, whole(), options);
}

function canFetchRanges(source: Fetcher): source is Fetcher & RangeFetcher {
  return "fetchRange" in source;
}

async function* alsoInto(ingest: Ingest, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    await ingest.write(chunk);
    yield chunk;
  }
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  progress: (doneBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const chunk of bytes) {
    done += chunk.length;
    progress(done);
    yield chunk;
  }
}
