/** What Node tells of a body whose connection has ended before it has. */
const BREAKS = new Set(["ABORT_ERR", "ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"]);

/** In place of the status of an answer that nobody gets. */
export const CLIENT_HAS_GONE = 499;

/** Whether an error is only that the client has gone, or was cut for being too slow: a body breaks off before the request's signal aborts. */
export function isBrokenOff(error: unknown, { signal }: Request): boolean {
  if (signal.aborted && error === signal.reason) return true;
  return error instanceof Error && "code" in error && BREAKS.has(String(error.code));
}
