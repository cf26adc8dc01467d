import { bytesToByteString } from "../byte-string.js";
import { displayPath } from "../display-path.js";
import { type LayerLimits, XATTR_NAME_BYTES } from "../limits.js";
import type { PaxRecords } from "./pax-records.js";
import type { TarHeader } from "./header.js";
import { parseDecimal, parsePaxTime, type TarTime } from "./number.js";
import type { Refuse } from "./refusal.js";

const XATTR_PREFIX = "SCHILY.xattr.";

/** Lets the records of a PAX header override those of the header that follows it. An empty value overrides nothing. */
export function applyPaxRecords(header: TarHeader, records: PaxRecords, limits: LayerLimits, refuse: Refuse): void {
  header.name = text(records, "path") ?? header.name;
  header.linkName = text(records, "linkpath") ?? header.linkName;
  header.size = integer(records, "size", refuse) ?? header.size;
  header.uid = integer(records, "uid", refuse) ?? header.uid;
  header.gid = integer(records, "gid", refuse) ?? header.gid;
  const mtime = time(records, "mtime", refuse);
  if (mtime !== undefined) {
    header.mtimeSeconds = mtime.seconds;
    header.mtimeNanoseconds = mtime.nanoseconds;
  }
  // Of these only the form matters: Go's reader refuses the entry.
  time(records, "atime", refuse);
  time(records, "ctime", refuse);
  applyXattrs(header, records, limits, refuse);
}

/** A record's value; undefined where there is none or it is empty. */
export function paxValue(records: PaxRecords, key: string): Uint8Array | undefined {
  const value = records.get(key);
  return value === undefined || value.length === 0 ? undefined : value;
}

export function paxInteger(value: Uint8Array, key: string, refuse: Refuse): number {
  const number = parseDecimal(value, 0, value.length);
  return Number.isNaN(number) ? refuse("tar_invalid", `the PAX ${key} is not a decimal number`) : number;
}

function text(records: PaxRecords, key: string): string | undefined {
  const value = paxValue(records, key);
  return value === undefined ? undefined : bytesToByteString(value);
}

function integer(records: PaxRecords, key: string, refuse: Refuse): number | undefined {
  const value = paxValue(records, key);
  return value === undefined ? undefined : paxInteger(value, key, refuse);
}

function time(records: PaxRecords, key: string, refuse: Refuse): TarTime | undefined {
  const value = paxValue(records, key);
  if (value === undefined) return undefined;
  return parsePaxTime(value) ?? refuse("tar_invalid", `the PAX ${key} is not a time`);
}

function applyXattrs(header: TarHeader, records: PaxRecords, limits: LayerLimits, refuse: Refuse): void {
  let xattrs: Map<string, Uint8Array> | undefined;
  for (const [key, value] of records) {
    if (!key.startsWith(XATTR_PREFIX)) continue;
    const name = key.slice(XATTR_PREFIX.length);
    if (name === "") refuse("layer_invalid", "an extended attribute has no name");
    if (name.length > XATTR_NAME_BYTES) {
      refuse("layer_limit", `the name of an extended attribute has over ${XATTR_NAME_BYTES} bytes`);
    }
    if (value.length > limits.xattrBytes) {
      refuse("layer_limit", `extended attribute ${displayPath(name)} has over ${limits.xattrBytes} bytes`);
    }
    xattrs ??= new Map();
    // A copy: the records share one buffer, which would live as long as the smallest value.
    xattrs.set(name, value.slice());
    if (xattrs.size > limits.xattrs) refuse("layer_limit", `it has over ${limits.xattrs} extended attributes`);
  }
  if (xattrs !== undefined) header.xattrs = xattrs;
}
