import { isDigest, type Digest } from "@lamella/refs";

import { byteString, byteStringToBytes } from "../byte-string.js";
import { displayPath } from "../display-path.js";
import { type LayerLimits, XATTR_NAME_BYTES } from "../limits.js";
import type { Refuse } from "../tar/refusal.js";
import { NO_XATTRS } from "../merge/inode.js";

/** An entry as the JSON has it (estargz.md, "TOCEntry"; containers/storage, `FileMetadata`), nothing of it checked. */
export interface RawTocEntry {
  readonly name?: unknown;
  readonly type?: unknown;
  readonly size?: unknown;
  readonly modtime?: unknown;
  readonly linkName?: unknown;
  readonly mode?: unknown;
  readonly uid?: unknown;
  readonly gid?: unknown;
  readonly devMajor?: unknown;
  readonly devMinor?: unknown;
  readonly xattrs?: unknown;
  readonly digest?: unknown;
  readonly offset?: unknown;
  readonly endOffset?: unknown;
  readonly innerOffset?: unknown;
  readonly chunkOffset?: unknown;
  readonly chunkSize?: unknown;
  readonly chunkDigest?: unknown;
  readonly chunkType?: unknown;
  readonly lamellaName?: unknown;
  readonly lamellaLinkName?: unknown;
  readonly lamellaXattrs?: unknown;
}

const NO_STRINGS: ReadonlyMap<string, string> = new Map();
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const lossy = new TextDecoder("utf-8", { ignoreBOM: true });

export function isRawEntry(value: unknown): value is RawTocEntry {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A number that is whole, not negative and at most `most`; 0 where there is none, since writers leave zeros out. */
export function tocNumber(
  value: unknown,
  key: keyof RawTocEntry,
  refuse: Refuse,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  if (value === undefined || value === null) return 0;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > most) {
    return refuse("toc_invalid", `its ${key} is not a whole number from 0 to ${most}`);
  }
  return value + 0;
}

export function tocText(value: unknown, key: keyof RawTocEntry, refuse: Refuse): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : refuse("toc_invalid", `its ${key} is not a string`);
}

export function tocDigest(value: unknown, key: keyof RawTocEntry, refuse: Refuse): Digest | undefined {
  const text = tocText(value, key, refuse);
  if (text === "") return undefined;
  return isDigest(text) ? text : refuse("toc_invalid", `its ${key} is not one`);
}

/** A name as a byte string: that of the exact key where there is one, which must agree with what others read. */
export function tocName(
  raw: RawTocEntry,
  key: "name" | "linkName",
  exactKey: "lamellaName" | "lamellaLinkName",
  refuse: Refuse,
): string {
  const text = tocText(raw[key], key, refuse);
  const encoded = tocText(raw[exactKey], exactKey, refuse);
  if (encoded === "") return byteString(text);
  const exact = decodeBase64(encoded) ?? refuse("toc_invalid", `its ${exactKey} is not Base64`);
  if (lossyText(exact) !== text) refuse("toc_invalid", `its ${key} and ${exactKey} differ`);
  return exact;
}

export function tocXattrs(raw: RawTocEntry, limits: LayerLimits, refuse: Refuse): ReadonlyMap<string, Uint8Array> {
  if ((raw.xattrs ?? raw.lamellaXattrs ?? undefined) === undefined) return NO_XATTRS;
  const listed = base64Map(raw, "xattrs", refuse);
  const encoded = base64Map(raw, "lamellaXattrs", refuse);
  const plain = new Map([...listed].map(([key, value]) => [byteString(key), value]));
  const exact = new Map([...encoded].map(([key, value]) => [decodeBase64(key) ?? "", value]));
  if ([...exact.keys()].some((name) => !listed.has(lossyText(name)))) {
    refuse("toc_invalid", "its xattrs and lamellaXattrs differ");
  }
  const read = new Map<string, Uint8Array>();
  for (const [name, value] of exact.size > 0 ? exact : plain) {
    if (name === "") refuse("toc_invalid", "an extended attribute has no name");
    if (name.length > XATTR_NAME_BYTES) {
      refuse("layer_limit", `the name of an extended attribute has over ${XATTR_NAME_BYTES} bytes`);
    }
    if (value.length > limits.xattrBytes) {
      refuse("layer_limit", `extended attribute ${displayPath(name)} has over ${limits.xattrBytes} bytes`);
    }
    read.set(name, byteStringToBytes(value));
    if (read.size > limits.xattrs) refuse("layer_limit", `it has over ${limits.xattrs} extended attributes`);
  }
  return read.size === 0 ? NO_XATTRS : read;
}

/** An object of values in Base64, which Go writes as null where they are empty. */
function base64Map(raw: RawTocEntry, key: "xattrs" | "lamellaXattrs", refuse: Refuse): ReadonlyMap<string, string> {
  const object = raw[key] ?? undefined;
  if (object === undefined) return NO_STRINGS;
  if (typeof object !== "object" || object === null || Array.isArray(object)) {
    return refuse("toc_invalid", `its ${key} are not an object`);
  }
  const decoded = new Map<string, string>();
  for (const [name, value] of Object.entries(object)) {
    const bytes = typeof value === "string" ? decodeBase64(value) : value === null ? "" : undefined;
    decoded.set(name, bytes ?? refuse("toc_invalid", `one of its ${key} is not in Base64`));
  }
  return decoded;
}

/** A byte string as the text that Go and every other writer of JSON makes of it: U+FFFD for what is not UTF-8. */
export function lossyText(bytes: string): string {
  return lossy.decode(byteStringToBytes(bytes));
}

/** Whether JSON can hold a byte string as text without a loss. */
export function isText(bytes: string): boolean {
  return byteString(lossyText(bytes)) === bytes;
}

function decodeBase64(text: string): string | undefined {
  return BASE64.test(text) ? atob(text) : undefined;
}
