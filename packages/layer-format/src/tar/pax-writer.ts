import { byteStringToBytes } from "../byte-string.js";

/** Keyword and value of a PAX record, both as byte strings. */
export type PaxRecord = readonly [keyword: string, value: string];

/** The body of a PAX extended header (POSIX.1-2001 `pax`, "pax Header File Format"), its records in the order given. */
export function encodePaxRecords(records: readonly PaxRecord[]): Uint8Array {
  return byteStringToBytes(records.map(encodeRecord).join(""));
}

function encodeRecord([keyword, value]: PaxRecord): string {
  const rest = ` ${keyword}=${value}\n`;
  // The length counts its own digits, of which it may need one more.
  let length = rest.length + String(rest.length).length;
  length = rest.length + String(length).length;
  return `${length}${rest}`;
}

/** A time as PAX writes it: decimal seconds with the least fraction that is exact. */
export function paxTime(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return String(seconds);
  const negative = seconds < 0;
  const whole = negative ? -(seconds + 1) : seconds;
  const fraction = negative ? 1e9 - nanoseconds : nanoseconds;
  return `${negative ? "-" : ""}${whole}.${String(fraction).padStart(9, "0").replace(/0+$/, "")}`;
}
