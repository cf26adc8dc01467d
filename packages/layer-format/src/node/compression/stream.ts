import type { Transform } from "node:stream";

import type { CallOptions } from "@lamella/refs";

const INPUT_BYTES = 256 * 1024;

interface TransformOptions extends CallOptions {
  /** Leave small chunks as they are: their ends mean something. */
  keepChunks?: boolean;
}

/**
 * Sends bytes through one of zlib's streams. One chunk is at work at a time, so that a source may reuse its buffer and
 * back-pressure reaches it; zlib works on it in its own thread while the caller is busy with the output before.
 *
 * Ending early, an error of either side and an abort all destroy the stream and close the source. Errors of the source and
 * `signal.reason` come out as they are, those of zlib as `damaged` makes them. The source itself has to end on an abort.
 */
export async function* transformBytes(
  source: AsyncIterable<Uint8Array>,
  transform: Transform & { readonly bytesWritten: number },
  damaged: (rule: string, cause?: unknown) => Error,
  { signal, keepChunks = false }: TransformOptions,
): AsyncGenerator<Uint8Array> {
  if (signal?.aborted) transform.destroy();
  signal?.throwIfAborted();
  const feed: Feed = { bytes: 0, error: undefined };
  const abort = (): void => void transform.destroy();
  signal?.addEventListener("abort", abort, { once: true });
  // Without a listener an error between two reads would be an uncaught one; each is reported by the iteration.
  transform.on("error", () => undefined);
  const feeding = feedInto(transform, keepChunks ? source : gather(source), feed);
  try {
    for await (const chunk of transform) yield chunk as Uint8Array;
  } catch (error) {
    signal?.throwIfAborted();
    throw feed.error === undefined ? damaged("the data is damaged or truncated", error) : feed.error.value;
  } finally {
    signal?.removeEventListener("abort", abort);
    transform.destroy();
    await feeding;
  }
  signal?.throwIfAborted();
  // zlib ends its output without an error where it meets bytes that are no further member.
  if (transform.bytesWritten < feed.bytes) throw damaged("something else follows the data");
}

interface Feed {
  bytes: number;
  error: { readonly value: unknown } | undefined;
}

/** Never rejects: what goes wrong is told through the feed and the stream's destruction. */
async function feedInto(transform: Transform, source: AsyncIterable<Uint8Array>, feed: Feed): Promise<void> {
  try {
    for await (const chunk of source) {
      if (transform.destroyed) return;
      feed.bytes += chunk.length;
      await written(transform, chunk);
      if (transform.destroyed || transform.readableEnded) return;
    }
    transform.end();
  } catch (error) {
    feed.error = { value: error };
    transform.destroy(error instanceof Error ? error : new Error("the source failed", { cause: error }));
  }
}

/** Small chunks as larger ones: each costs zlib's stream a trip to its thread and back, a third of the time at 16 KiB, measured. */
async function* gather(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let buffer = new Uint8Array();
  let filled = 0;
  for await (const chunk of source) {
    if (filled + chunk.length > INPUT_BYTES && filled > 0) {
      yield buffer.subarray(0, filled);
      filled = 0;
    }
    if (chunk.length >= INPUT_BYTES) {
      yield chunk;
      continue;
    }
    if (buffer.length === 0) buffer = new Uint8Array(INPUT_BYTES);
    buffer.set(chunk, filled);
    filled += chunk.length;
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}

/** Resolves when the stream is done with the chunk or with everything. */
function written(transform: Transform, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      transform.off("close", settle);
      transform.off("end", settle);
      resolve();
    };
    transform.on("close", settle);
    transform.on("end", settle);
    transform.write(chunk, settle);
  });
}
