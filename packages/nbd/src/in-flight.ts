export interface InFlightLimits {
  readonly maxRequests: number;
  readonly maxBytes: number;
}

/** The requests that have been taken and not been answered. */
export interface InFlight {
  /** Waits until there is room for a request that takes `bytes` of memory. One alone always has room. Called one at a time. */
  admit(bytes: number): Promise<void>;
  release(bytes: number): void;
  /** Resolves when there is none. */
  idle(): Promise<void>;
}

export function createInFlight({ maxRequests, maxBytes }: InFlightLimits): InFlight {
  let requests = 0;
  let held = 0;
  let wake: () => void = () => {};

  async function until(isMet: () => boolean): Promise<void> {
    while (!isMet()) await new Promise<void>((resolve) => (wake = resolve));
  }

  return {
    async admit(bytes) {
      await until(() => requests === 0 || (requests < maxRequests && held + bytes <= maxBytes));
      requests++;
      held += bytes;
    },
    release(bytes) {
      requests--;
      held -= bytes;
      wake();
    },
    idle: () => until(() => requests === 0),
  };
}
