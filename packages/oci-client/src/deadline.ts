/** A timer that runs out unless it is wound again in time. Stopped, it stays so until {@link Deadline.wind}. */
export interface Deadline {
  wind(): void;
  stop(): void;
  /** Stops for good. */
  end(): void;
}

export function startDeadline(ms: number, expire: () => void): Deadline {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isEnded = false;
  const deadline: Deadline = {
    wind() {
      clearTimeout(timer);
      if (!isEnded) timer = setTimeout(expire, ms);
    },
    stop() {
      clearTimeout(timer);
    },
    end() {
      isEnded = true;
      clearTimeout(timer);
    },
  };
  deadline.wind();
  return deadline;
}

/** The promise, or the signal's reason as soon as it aborts: for work by others that may not heed the signal. */
export function orAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
