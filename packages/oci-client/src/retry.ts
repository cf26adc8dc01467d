import type { CallOptions } from "@lamella/refs";

import type { OciClientError } from "./errors.js";
import { isTransient } from "./network-error.js";

/** How often and how fast to try again what can be repeated without harm. */
export interface RetryPolicy {
  /** Tries in all, the first included. */
  readonly attempts: number;
  /** The wait after the first failure, doubled each time; at least half of it is waited, the rest by chance. */
  readonly baseMs: number;
  /** The cap on every wait, that which a registry asks for (`Retry-After`) included. */
  readonly capMs: number;
  /** The clock; rejects with the signal's reason. */
  readonly sleep: (ms: number, options: CallOptions) => Promise<void>;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** In milliseconds from any beginning; never goes back. */
  readonly now: () => number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  attempts: 3,
  baseMs: 250,
  capMs: 30_000,
  sleep,
  random: Math.random,
  now: () => performance.now(),
};

/** Repeats an operation whose failures are transient. The last error is thrown as it is. */
export async function retry<Result>(
  policy: RetryPolicy,
  operation: () => Promise<Result>,
  options: CallOptions,
): Promise<Result> {
  for (let failures = 1; ; failures++) {
    try {
      return await operation();
    } catch (error) {
      if (failures >= policy.attempts || !isTransient(error)) throw error;
      await pause(policy, { failures, error }, options);
    }
  }
}

/** Waits as long as is due after so many failures, the last of them being `error`: what the registry asks for, but not less than the backoff. */
export async function pause(
  policy: RetryPolicy,
  { failures, error }: { failures: number; error?: OciClientError | undefined },
  options: CallOptions,
): Promise<void> {
  const backoffMs = policy.baseMs * 2 ** (failures - 1) * (0.5 + policy.random() / 2);
  const askedMs = error?.retryAfterMs;
  const dueMs = askedMs === undefined ? backoffMs : Math.max(askedMs + policy.baseMs * policy.random(), backoffMs);
  await policy.sleep(Math.min(dueMs, policy.capMs), options);
}

function sleep(ms: number, { signal }: CallOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
