import type { CallOptions } from "@lamella/refs";

/** Changes of one repository, one after the other; those of different repositories at the same time. */
export interface RepositoryLocks {
  /** Waits its turn and works. A wait that is aborted ends at once, and its turn goes to the next. */
  hold<Result>(repository: string, work: () => Promise<Result>, options?: CallOptions): Promise<Result>;
}

/** Of a repository that nobody changes, nothing is kept. */
export function createRepositoryLocks(): RepositoryLocks {
  const last = new Map<string, Promise<void>>();

  return {
    async hold(repository, work, { signal } = {}) {
      signal?.throwIfAborted();
      const before = last.get(repository) ?? Promise.resolve();
      let release = (): void => undefined;
      const done = new Promise<void>((resolve) => {
        release = resolve;
      });
      // who gives up waiting is done before those that it waited for
      const own = before.then(() => done);
      last.set(repository, own);
      const forget = async (): Promise<void> => {
        await own;
        if (last.get(repository) === own) last.delete(repository);
      };
      void forget();
      try {
        await orAborted(before, signal);
        return await work();
      } finally {
        release();
      }
    },
  };
}

async function orAborted(turn: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return turn;
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    await Promise.race([turn, aborted]);
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
