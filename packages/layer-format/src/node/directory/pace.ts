import { setImmediate as turn } from "node:timers/promises";

/** How long the event loop may have to wait for a turn, and what one piece of work may take to count as quick. */
const BURST_MS = 5;
/** So many pieces of work go through the thread pool after one that was not quick. */
const POOLED = 16;

export type Awaitable<T> = T | Promise<T>;

/** The same calls of the file system, made on this thread and made by the thread pool. */
export interface CallsOfBothKinds<Calls> {
  readonly here: Calls;
  readonly pool: Calls;
}

/**
 * Runs many short pieces of work with the file system.
 *
 * A call that the system answers from memory takes microseconds, but tens of them by way of the thread pool: reading 63,000 small files
 * took 13 s and more so, and 2 s on this thread (measured). So calls are made here for as long as they are quick, in bursts with a turn
 * of the event loop between them. Where storage turns out to be slow, the thread pool waits for it instead.
 */
export class Pace<Calls> {
  readonly #calls: CallsOfBothKinds<Calls>;
  readonly #now: () => number;
  #burstStart: number;
  #pooled = 0;

  /** @param now - a clock, in milliseconds */
  constructor(calls: CallsOfBothKinds<Calls>, now: () => number = () => performance.now()) {
    this.#calls = calls;
    this.#now = now;
    this.#burstStart = now();
  }

  async run<Result>(work: (calls: Calls) => Promise<Result>): Promise<Result> {
    if (this.#pooled > 0) {
      this.#pooled--;
      return work(this.#calls.pool);
    }
    if (this.#now() - this.#burstStart >= BURST_MS) {
      await turn();
      this.#burstStart = this.#now();
    }
    const start = this.#now();
    const result = await work(this.#calls.here);
    if (this.#now() - start >= BURST_MS) this.#pooled = POOLED;
    return result;
  }

  /** Does a piece of work on this thread, all at once; undefined where it is time for a turn or the storage is slow: {@link run} sees to both. */
  runNow<Result>(work: () => Result): Result | undefined {
    const start = this.#now();
    if (this.#pooled > 0 || start - this.#burstStart >= BURST_MS) return undefined;
    const result = work();
    if (this.#now() - start >= BURST_MS) this.#pooled = POOLED;
    return result;
  }
}
