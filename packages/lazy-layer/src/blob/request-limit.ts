import type { CallOptions } from "@lamella/refs";

import { LazyLayerError } from "../errors.js";

export interface RequestLimit {
  /** Of the request; aborts with the error when time is up. */
  readonly signal: AbortSignal;
  /** Bytes have come. */
  progress(bytes: number): void;
  end(): void;
}

/** Less than this is no progress: a peer that trickles is as good as one that hangs. */
const PROGRESS_BYTES = 64 * 1024;
const MIB = 2 ** 20;

/**
 * Bounds a request in time: `timeoutMs` for its first 64 KiB and for each of the following, and `timeoutMs` for each MiB in all.
 * @param act what is done, for the message: "read 5 bytes at 3 of sha256:…"
 */
export function startRequestLimit(
  act: string,
  length: number,
  { timeoutMs, signal }: CallOptions & { timeoutMs: number },
): RequestLimit {
  const controller = new AbortController();
  const allMs = timeoutMs * Math.max(1, length / MIB);
  const expire = (ms: number): void =>
    controller.abort(new LazyLayerError("timeout", `cannot ${act}: the registry did not give it within ${ms} ms`));
  const whole = setTimeout(() => expire(allMs), allMs);
  let stall = setTimeout(() => expire(timeoutMs), timeoutMs);
  let since = 0;
  const abort = (): void => controller.abort(signal?.reason);
  if (signal?.aborted === true) abort();
  signal?.addEventListener("abort", abort, { once: true });
  return {
    signal: controller.signal,
    progress(bytes) {
      since += bytes;
      if (since < PROGRESS_BYTES) return;
      since = 0;
      clearTimeout(stall);
      stall = setTimeout(() => expire(timeoutMs), timeoutMs);
    },
    end() {
      clearTimeout(whole);
      clearTimeout(stall);
      signal?.removeEventListener("abort", abort);
    },
  };
}
