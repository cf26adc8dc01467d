import type { ResponseHeaders } from "./transport.js";

/** Seconds or a date (RFC 9110, section 10.2.3), as milliseconds from now; undefined for nonsense and for the past. */
export function parseRetryAfter(headers: ResponseHeaders): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  const waitMs = /^[0-9]+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(waitMs) && waitMs >= 0 && /^[0-9A-Z]/.test(value) ? waitMs : undefined;
}
