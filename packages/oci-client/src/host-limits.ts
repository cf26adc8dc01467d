import type { CallOptions } from "@lamella/refs";

import type { RetryPolicy } from "./retry.js";

/** What hosts asked to be spared: one answer with `Retry-After` holds back every request to its host, parallel ones too. */
export interface HostLimits {
  /** Holds back requests to a host for so long, at most {@link RetryPolicy.capMs}. A shorter wait never replaces a longer one. */
  delay(host: string, waitMs: number): void;
  /** Resolves when a request may be sent; at once for a host that asked for nothing. */
  ready(host: string, options: CallOptions): Promise<void>;
}

/** Hosts are few and forgotten when their time is over; a client that is sent to ever new ones keeps this many. */
const MAX_HOSTS = 1000;

export function createHostLimits({ capMs, baseMs, sleep, random, now }: RetryPolicy): HostLimits {
  const readyAt = new Map<string, number>();

  function remainingMs(host: string): number {
    const remaining = (readyAt.get(host) ?? 0) - now();
    if (remaining <= 0) readyAt.delete(host);
    return remaining;
  }

  return {
    delay(host, waitMs) {
      const until = now() + Math.min(Math.max(waitMs, 0), capMs);
      if (readyAt.size >= MAX_HOSTS) for (const known of readyAt.keys()) remainingMs(known);
      if (readyAt.size >= MAX_HOSTS || until <= (readyAt.get(host) ?? 0)) return;
      readyAt.set(host, until);
    },
    async ready(host, options) {
      // One turn only: a host that moves its time again and again answers the next request, and the caller's attempts end.
      const waitMs = remainingMs(host);
      if (waitMs > 0) await sleep(Math.min(waitMs + baseMs * random(), capMs), options);
    },
  };
}
