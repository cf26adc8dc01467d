import { RegistryError } from "./errors.js";

/** How slowly a body may come. What the storage takes for itself does not count. */
export interface BodyPace {
  /** The longest silence, and what a body may take before its rate counts. */
  readonly idleMs: number;
  /** On average, from then on. */
  readonly minBytesPerSecond: number;
}

/**
 * The chunks of a request's body, until its signal aborts; leaving the iteration early cancels the rest. Throws `body_slow` for a
 * client that keeps it waiting.
 */
export async function* bodyOf(request: Request, pace: BodyPace): AsyncGenerator<Uint8Array, void, undefined> {
  const { body, signal } = request;
  if (body === null) return;
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  const cancel = (): void => void reader.cancel(signal.reason).catch(() => undefined);
  signal.addEventListener("abort", cancel, { once: true });
  let ended = false;
  let waitedMs = 0;
  let bytes = 0;
  try {
    for (;;) {
      signal.throwIfAborted();
      const dueMs = pace.idleMs + (bytes / pace.minBytesPerSecond) * 1000;
      const since = performance.now();
      const { done, value } = await within(Math.min(pace.idleMs, dueMs - waitedMs), reader.read());
      waitedMs += performance.now() - since;
      signal.throwIfAborted();
      ended = done;
      if (done) return;
      bytes += value.length;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    if (!ended) cancel();
  }
}

async function within<Result>(ms: number, work: Promise<Result>): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = (): RegistryError => new RegistryError("body_slow", "cannot take the body: it comes too slowly");
    timer = setTimeout(() => reject(error()), Math.max(ms, 0));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The same, of exactly `length` bytes; throws `size_invalid` rather than yield one byte more, or at an early end. */
export async function* exactly(length: number, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let seen = 0;
  for await (const chunk of body) {
    seen += chunk.length;
    if (seen > length) throw new RegistryError("size_invalid", `cannot take the body: longer than ${length} bytes`);
    yield chunk;
  }
  if (seen < length) throw new RegistryError("size_invalid", `cannot take the body: ${seen} of ${length} bytes`);
}

/** A whole body that fits in `limit` bytes; `undefined` for one that does not, of which little more than that is read. */
export async function readUpTo(limit: number, body: AsyncIterable<Uint8Array>): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) return undefined;
    chunks.push(chunk);
  }
  return joined(chunks, size);
}

export function joined(chunks: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

/** A response's body that reads only as fast as it is read itself, and lets go of its source when it is cancelled. What is a stream already stays what it is. */
export function streamOf(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  if (source instanceof ReadableStream) return source;
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
