/** Longer timers fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Pauses; rejects with `signal.reason`. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return abortable((resolve) => {
    const timer = setTimeout(resolve, ms);
    return () => clearTimeout(timer);
  }, signal);
}

/**
 * Runs a wait with a signal that is `signal` and also aborts, with what `late` makes, after `timeoutMs`. What has been waited for is not
 * undone by time: the wait itself decides.
 */
export async function within<Result>(
  { timeoutMs, signal, late }: { timeoutMs: number; signal: AbortSignal | undefined; late: () => Error },
  wait: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const limit = new AbortController();
  const abort = (): void => limit.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const timer = setTimeout(() => limit.abort(late()), Math.min(timeoutMs, LONGEST_TIMER_MS));
  try {
    signal?.throwIfAborted();
    return await wait(limit.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** One after another, in the order of asking. */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Waits for the turn; the caller ends it by what it gets. Rejects with `signal.reason`, and then has no turn. */
  async take(signal?: AbortSignal): Promise<() => void> {
    const before = this.#last;
    let end!: () => void;
    this.#last = new Promise((resolve) => (end = resolve));
    try {
      await abortable((resolve) => {
        void before.then(resolve);
        return () => {};
      }, signal);
    } catch (error) {
      void before.then(end);
      throw error;
    }
    return end;
  }
}

function abortable(start: (resolve: () => void) => () => void, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = start(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    const abort = (): void => {
      stop();
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
  });
}
