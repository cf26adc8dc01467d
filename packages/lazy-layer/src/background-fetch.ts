import type { BlobRange, CallOptions } from "@lamella/refs";

import type { OpenBlob } from "./blob/open-blob.js";
import { LazyLayerError } from "./errors.js";

/** Pieces on their way at a time. */
const PIECES_AT_A_TIME = 2;

/** Brings what is missing of a blob's first bytes into the cache. */
export async function fetchMissing(blob: OpenBlob, endOffset: number, { signal }: CallOptions): Promise<void> {
  signal?.throwIfAborted();
  for (let pieces = missing(blob, endOffset); pieces.length > 0; pieces = missing(blob, endOffset)) {
    const before = blob.heldBytes;
    const queue = pieces.values();
    await Promise.all(Array.from({ length: PIECES_AT_A_TIME }, () => fetchPieces(blob, queue, { signal })));
    await blob.settled();
    if (blob.heldBytes > before) continue;
    const state = "the cache has no room for it";
    throw new LazyLayerError("cache_full", `cannot fetch ${blob.descriptor.digest} for later: ${state}`);
  }
}

function missing(blob: OpenBlob, endOffset: number): (readonly BlobRange[])[] {
  return [...blob.missing(endOffset)];
}

async function fetchPieces(
  blob: OpenBlob,
  pieces: Iterator<readonly BlobRange[]>,
  { signal }: CallOptions,
): Promise<void> {
  for (let next = pieces.next(); next.done !== true; next = pieces.next()) {
    const ranges = next.value;
    if (ranges.length > 1) await blob.fetchTogether(ranges);
    for (const { offset, length } of ranges) {
      for await (const _ of blob.read(offset, length, { signal, priority: "background" })) signal?.throwIfAborted();
    }
  }
}
