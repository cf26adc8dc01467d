import { createHash } from "node:crypto";

import { type CallOptions, RefsError } from "@lamella/refs";

import type { BlobReader } from "../blob-reader.js";
import type { ChunkMemory } from "../chunk-memory.js";
import { LazyLayerError } from "../errors.js";
import { isWrong } from "../lazy-chunks.js";
import { orAborted } from "../or-aborted.js";
import type { PlainIndex, Span } from "./plain-index.js";
import { inflateSpan } from "./span-inflate.js";
import { createZstdCursor } from "./zstd-cursor.js";

/** Of a zstd frame, where nobody knows how far into it a decoder has to go: what is asked for at once. */
const STEP_BYTES = 1 << 20;

/** Gives the spans of one layer, unpacked and checked. */
export interface SpanSource extends AsyncDisposable {
  /** Stays valid. Who asks at the same time waits for the same span, which nobody's abort ends. */
  read(index: number, options: CallOptions): Promise<Uint8Array>;
  /** Where it is in memory. */
  readNow(index: number): Uint8Array | undefined;
}

/**
 * Spans by way of memory, the reader's cache and the registry. One that is wrong is dropped from the cache and fetched once more.
 * @param closing ends every read
 * @throws {LazyLayerError} from `read`: `chunk_mismatch` for a span that is wrong twice; what the reader throws.
 */
export function createSpanSource(
  reader: BlobReader,
  { spans }: PlainIndex,
  { memory, closing }: { memory: ChunkMemory; closing: AbortSignal },
): SpanSource {
  const pending = new Map<number, Promise<Uint8Array>>();
  const cursor = createZstdCursor((span) => compressed(reader, span, STEP_BYTES, closing));

  async function load(span: Span): Promise<Uint8Array> {
    for (let isAgain = false; ; isAgain = true) {
      try {
        const bytes = await unpack(span);
        checkSpan(span, bytes);
        return bytes;
      } catch (error) {
        if (!isWrong(error)) throw error;
        if (isAgain) throw mismatch(reader, span, error as Error);
        // The cache may be damaged.
        await reader.drop(span.blobOffset, span.blobEnd - span.blobOffset);
      }
    }
  }

  async function unpack(span: Span): Promise<Uint8Array> {
    if (span.kind === "zstd") return cursor.read(span);
    const size = span.blobEnd - span.blobOffset;
    const bytes = new Uint8Array(size);
    let filled = 0;
    for await (const chunk of compressed(reader, span, size, closing)) {
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
    return span.kind === "none" ? bytes : inflateSpan(span, bytes);
  }

  return {
    read(index, { signal }) {
      const span = spans[index]!;
      const held = memory.get(keyOf(span));
      if (held !== undefined) return Promise.resolve(held);
      let loading = pending.get(index);
      if (loading === undefined) {
        loading = load(span).finally(() => pending.delete(index));
        pending.set(index, loading);
        loading.then(
          (bytes) => memory.set(keyOf(span), bytes),
          // Nobody may be waiting for it any more.
          () => undefined,
        );
      }
      return orAborted(loading, signal);
    },
    readNow: (index) => memory.get(keyOf(spans[index]!)),
    async [Symbol.asyncDispose]() {
      await cursor.close();
    },
  };
}

/** By what it holds: a layer whose index comes from elsewhere has no other's spans in its place. */
function keyOf({ sha256 }: Span): string {
  return `span:${Buffer.from(sha256.buffer, sha256.byteOffset, sha256.length).toString("latin1")}`;
}

async function* compressed(
  reader: BlobReader,
  { blobOffset, blobEnd }: Span,
  stepBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (let at = blobOffset; at < blobEnd; at += stepBytes)
    yield* reader.read(at, Math.min(stepBytes, blobEnd - at), { signal });
}

function checkSpan(span: Span, bytes: Uint8Array): void {
  if (bytes.length !== span.length) {
    const state = `a span at byte ${span.blobOffset} has ${bytes.length} bytes, not ${span.length}`;
    throw new RefsError("size_mismatch", `cannot verify layer: ${state}`);
  }
  if (createHash("sha256").update(bytes).digest().equals(span.sha256)) return;
  throw new RefsError(
    "digest_mismatch",
    `cannot verify layer: the digest of the span at byte ${span.blobOffset} is wrong`,
  );
}

function mismatch({ descriptor }: BlobReader, span: Span, cause: Error): LazyLayerError {
  const state = `it is not what its index says: ${cause.message}`;
  return new LazyLayerError(
    "chunk_mismatch",
    `cannot read layer ${descriptor.digest} at byte ${span.blobOffset}: ${state}`,
    {
      cause,
    },
  );
}
