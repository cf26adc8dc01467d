import { byteStringToBytes, bytesToByteString } from "../byte-string.js";
import { parseDecimal } from "./number.js";
import type { Refuse } from "./refusal.js";

/** The records of a PAX extended header by keyword, as bytes; of a keyword that comes twice the last one. */
export type PaxRecords = ReadonlyMap<string, Uint8Array>;

export const SPARSE_MAP = "GNU.sparse.map";
const SPARSE_OFFSET = "GNU.sparse.offset";
const SPARSE_BYTES = "GNU.sparse.numbytes";
/** Length, space, keyword of one byte, `=` and newline. */
const LEAST_RECORD_BYTES = 5;
const TEXT_KEYS: ReadonlySet<string> = new Set(["path", "linkpath", "uname", "gname"]);

/**
 * Parses the body of a PAX extended header: records of `length keyword=value\n` (POSIX.1-2001 `pax`, "pax Header File Format").
 * The repeated keywords of GNU's sparse format 0.0 are joined into the single one of format 0.1.
 */
export function parsePaxRecords(body: Uint8Array, refuse: Refuse): PaxRecords {
  const records = new Map<string, Uint8Array>();
  const spans: string[] = [];
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : parseDecimal(body, at, space);
    const end = at + length;
    if (!(length >= LEAST_RECORD_BYTES && end <= body.length && end > space + 1 && body[end - 1] === 0x0a)) {
      refuse("tar_invalid", "the length of a PAX record is wrong");
    }
    const equals = body.indexOf(0x3d, space);
    if (equals < 0 || equals >= end - 1) refuse("tar_invalid", "a PAX record has no keyword and value");
    const key = bytesToByteString(body.subarray(space + 1, equals));
    const value = body.subarray(equals + 1, end - 1);
    checkRecord(key, value, refuse);
    if (key === SPARSE_OFFSET || key === SPARSE_BYTES) spans.push(spanPart(key, value, spans.length, refuse));
    else records.set(key, value);
    at = end;
  }
  if (spans.length > 0) records.set(SPARSE_MAP, byteStringToBytes(spans.join(",")));
  return records;
}

function checkRecord(key: string, value: Uint8Array, refuse: Refuse): void {
  if (key === "" || key.includes("\0")) refuse("tar_invalid", "a PAX record's keyword is empty or has a NUL");
  if (TEXT_KEYS.has(key) && value.includes(0)) refuse("tar_invalid", `the PAX ${key} has a NUL`);
}

function spanPart(key: string, value: Uint8Array, count: number, refuse: Refuse): string {
  if ((key === SPARSE_OFFSET) !== (count % 2 === 0) || value.includes(0x2c)) {
    refuse("tar_invalid", "the sparse map's offsets and lengths do not take turns");
  }
  return bytesToByteString(value);
}
