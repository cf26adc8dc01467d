import { LamellaError } from "@lamella/refs";

import { OciClientError, type OciClientErrorCode } from "./errors.js";

/** An error of a copy as one that says on which side it happened. What is nobody's failure, as an abort, stays as it is. */
export function toCopyError(error: unknown, side: "source" | "destination", signal: AbortSignal): unknown {
  if (signal.aborted && error === signal.reason) return error;
  if (error instanceof OciClientError) {
    if (error.side !== undefined) return error;
    const { status, retryAfterMs } = error;
    return new OciClientError(error.code, messageOf(error, side), { cause: error, side, status, retryAfterMs });
  }
  if (error instanceof LamellaError) {
    // A source or sink of another package has codes of its own.
    return new OciClientError(error.code as OciClientErrorCode, messageOf(error, side), { cause: error, side });
  }
  if (error instanceof Error && "syscall" in error) {
    return new OciClientError("storage", messageOf(error, side), { cause: error, side });
  }
  return error;
}

function messageOf({ message }: Error, side: "source" | "destination"): string {
  return `cannot copy, the ${side} failed: ${message}`;
}
