import type { BlockSource } from "./block-source.js";
import { NbdError } from "./errors.js";

export interface SourceReadOptions {
  /** Ends the read, whatever its source does. */
  readonly signal: AbortSignal;
}

/**
 * Fills `target` with a source's bytes from `offset`.
 * @throws {NbdError} `source_invalid` if there are more or fewer; what the source throws; `signal.reason`
 */
export async function readInto(
  source: BlockSource,
  offset: number,
  target: Uint8Array,
  options: SourceReadOptions,
): Promise<void> {
  let filled = 0;
  await readRange(source, { offset, length: target.length }, options, (chunk) => {
    target.set(chunk, filled);
    filled += chunk.length;
  });
}

/**
 * Passes a source's bytes to `take`.
 * @throws as {@link readInto}
 */
export async function readRange(
  source: BlockSource,
  { offset, length }: { offset: number; length: number },
  { signal }: SourceReadOptions,
  take: (chunk: Uint8Array) => void,
): Promise<void> {
  signal.throwIfAborted();
  const iterator = source.read(offset, length, { signal })[Symbol.asyncIterator]();
  const aborted = whenAborted(signal);
  let missing = length;
  let ended = false;
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted.promise]);
      if (next.done === true) break;
      missing -= next.value.length;
      if (missing < 0) break;
      take(next.value);
    }
    if (missing !== 0)
      throw new NbdError(
        "source_invalid",
        `cannot read ${length} bytes at ${offset}: the disk gave ${length - missing}`,
      );
    ended = true;
  } finally {
    aborted.forget();
    // one that does not answer does not end either
    if (!ended) void iterator.return?.().catch(() => {});
  }
}

function whenAborted(signal: AbortSignal): { promise: Promise<never>; forget: () => void } {
  let abort: () => void = () => {};
  const promise = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
  });
  promise.catch(() => {});
  return { promise, forget: () => signal.removeEventListener("abort", abort) };
}
