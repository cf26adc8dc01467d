import { setMaxListeners } from "node:events";

import type { ChunkSource, LayerToc, TocChunk } from "@lamella/layer-format";
import { createChunkSource } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";

import type { BlobReader } from "./blob-reader.js";
import type { ChunkMemory } from "./chunk-memory.js";
import { LazyLayerError } from "./errors.js";
import { orAborted } from "./or-aborted.js";
import { rangesOf } from "./reader-ranges.js";

/** What is unpacked at a time, unless a single chunk is larger. */
const RUN_BYTES = 4 * 2 ** 20;
const RUN_CHUNKS = 1024;

interface Settle {
  resolve(bytes: Uint8Array): void;
  reject(error: unknown): void;
}

/**
 * Chunks of a layer by way of memory, cache and registry. Each is checked before it is given out; one that is wrong is dropped from the cache and fetched once
 * more. Who asks at the same time waits for the same chunk.
 *
 * @throws {LazyLayerError} `chunk_mismatch` for a chunk that is wrong twice; what the reader throws.
 */
export function createLazyChunks(
  reader: BlobReader,
  toc: LayerToc,
  memory: ChunkMemory,
  closing: AbortSignal,
): ChunkSource {
  const { descriptor } = reader;
  // each run that is under way has one
  setMaxListeners(0, closing);
  const source = createChunkSource(rangesOf(reader), descriptor, toc);
  /** By the chunk's index. */
  const pending = new Map<number, Promise<Uint8Array>>();
  const keyOf = (index: number): string => `${descriptor.digest}:${toc.digest}:${index}`;

  /** Begins a run at `first`, of chunks that are neither in memory nor on their way. */
  function begin(first: number, stop: number): void {
    const run = runFrom(first, stop);
    const settle: Settle[] = [];
    for (let index = first; index < first + run; index++) {
      const promise = new Promise<Uint8Array>((resolve, reject) => settle.push({ resolve, reject }));
      // Nobody may be waiting for it any more when it fails.
      promise.catch(() => {});
      pending.set(index, promise);
    }
    void produce(first, run, settle);
  }

  function runFrom(first: number, stop: number): number {
    let bytes = 0;
    let index = first;
    while (index < stop && index - first < RUN_CHUNKS) {
      if (pending.has(index) || (index > first && memory.get(keyOf(index)) !== undefined)) break;
      bytes += toc.chunks[index]?.size ?? 0;
      if (index > first && bytes > RUN_BYTES) break;
      index++;
    }
    return Math.max(1, index - first);
  }

  async function produce(first: number, run: number, settle: readonly Settle[]): Promise<void> {
    let done = 0;
    let wrong = -1;
    try {
      while (done < run) {
        try {
          for await (const bytes of source.readChunks(first + done, run - done, { signal: closing })) {
            memory.set(keyOf(first + done), bytes);
            settle[done]?.resolve(bytes);
            done++;
          }
        } catch (error) {
          // The cache may be damaged: what is wrong is fetched once more.
          if (!isWrong(error) || wrong === done) throw error;
          wrong = done;
          await dropChunk(reader, toc.chunks[first + done]);
        }
      }
    } catch (error) {
      const failure = isWrong(error) ? mismatch(descriptor.digest, toc.chunks[first + done], error) : error;
      for (const { reject } of settle.slice(done)) reject(failure);
    } finally {
      for (let index = first; index < first + run; index++) pending.delete(index);
    }
  }

  return {
    heldChunk: (index) => memory.get(keyOf(index)),
    async *readChunks(first, count, { signal }: CallOptions = {}) {
      const stop = first + count;
      for (let index = first; index < stop; index++) {
        signal?.throwIfAborted();
        closing.throwIfAborted();
        const held = memory.get(keyOf(index));
        if (held === undefined && !pending.has(index)) begin(index, stop);
        yield held ?? (await orAborted(pending.get(index) as Promise<Uint8Array>, signal));
      }
    },
  };
}

async function dropChunk(reader: BlobReader, chunk: TocChunk | undefined): Promise<void> {
  if (chunk !== undefined) await reader.drop(chunk.blobOffset, chunk.blobEnd - chunk.blobOffset);
}

/** What the bytes of a blob say, not how they came. */
export function isWrong(error: unknown): boolean {
  const codes = ["digest_mismatch", "size_mismatch", "compression_invalid", "toc_invalid", "layer_limit"];
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

function mismatch(digest: string, chunk: TocChunk | undefined, cause: unknown): LazyLayerError {
  const state = cause instanceof Error ? cause.message : String(cause);
  return new LazyLayerError(
    "chunk_mismatch",
    `cannot read layer ${digest} at byte ${chunk?.blobOffset ?? 0}: it is not what its table of contents says: ${state}`,
    { cause },
  );
}
