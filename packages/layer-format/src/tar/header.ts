import { sliceByteString } from "../byte-string.js";
import {
  BLOCK_BYTES,
  CHECKSUM,
  DEVICE_MAJOR,
  DEVICE_MINOR,
  type Field,
  GID,
  GNU_ATIME,
  GNU_CTIME,
  GNU_MAGIC,
  LINK_NAME,
  MAGIC_AT,
  MODE,
  MTIME,
  NAME,
  PREFIX,
  SIZE,
  STAR_ATIME,
  STAR_CTIME,
  STAR_PREFIX,
  STAR_TRAILER,
  STAR_TRAILER_AT,
  TYPE_AT,
  UID,
  USTAR_MAGIC,
} from "./layout.js";
import { clampTime, parseNumeric, parseOctal } from "./number.js";
import type { Refuse } from "./refusal.js";
import { NO_XATTRS } from "../merge/inode.js";

type TarFormat = "v7" | "ustar" | "star" | "gnu";

/** A header as its block has it; the extended headers before it may still change it. */
export interface TarHeader {
  format: TarFormat;
  type: number;
  name: string;
  linkName: string;
  mode: number;
  uid: number;
  gid: number;
  /** As the header says, possibly negative or beyond the safe integers. */
  size: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  deviceMajor: number;
  deviceMinor: number;
  xattrs: ReadonlyMap<string, Uint8Array>;
}

export function isZeroBlock(block: Uint8Array, at: number): boolean {
  for (let index = at; index < at + BLOCK_BYTES; index++) {
    if (block[index] !== 0) return false;
  }
  return true;
}

/** Reads the header block at `at`, in any of the formats that Go's reader takes, and refuses what it refuses. */
export function parseHeader(block: Uint8Array, at: number, refuse: Refuse): TarHeader {
  const sum = parseOctal(block, at + CHECKSUM.at, CHECKSUM.length);
  if (sum !== unsignedSum(block, at) && sum !== signedSum(block, at)) {
    refuse("tar_invalid", "the header's checksum is wrong");
  }
  const format = detectFormat(block, at);
  const plain = format === "v7";
  const name = text(block, at, NAME);
  const prefix = plain ? "" : readPrefix(block, at, format, refuse);
  return {
    format,
    type: block[at + TYPE_AT] ?? 0,
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: text(block, at, LINK_NAME),
    mode: readMode(block, at, refuse),
    uid: number(block, at, UID, "uid", refuse),
    gid: number(block, at, GID, "gid", refuse),
    size: number(block, at, SIZE, "size", refuse),
    mtimeSeconds: clampTime(number(block, at, MTIME, "mtime", refuse)),
    mtimeNanoseconds: 0,
    deviceMajor: plain ? 0 : number(block, at, DEVICE_MAJOR, "device number", refuse),
    deviceMinor: plain ? 0 : number(block, at, DEVICE_MINOR, "device number", refuse),
    xattrs: NO_XATTRS,
  };
}

/** A field's bytes up to its first NUL, as a byte string. */
function text(block: Uint8Array, at: number, field: Field): string {
  const start = at + field.at;
  const limit = start + field.length;
  let end = start;
  while (end < limit && block[end] !== 0) end++;
  return end === start ? "" : sliceByteString(block, start, end);
}

function number(block: Uint8Array, at: number, field: Field, what: string, refuse: Refuse): number {
  const value = parseNumeric(block, at, field);
  return Number.isNaN(value) ? refuse("tar_invalid", `the ${what} is not a number`) : value;
}

function readMode(block: Uint8Array, at: number, refuse: Refuse): number {
  const value = number(block, at, MODE, "mode", refuse);
  // Only twelve bits count, so that a binary mode of any length can be taken from its last two bytes.
  const end = at + MODE.at + MODE.length;
  const binary = ((block[at + MODE.at] ?? 0) & 0x80) !== 0;
  return (binary ? ((block[end - 2] ?? 0) << 8) | (block[end - 1] ?? 0) : value) & 0o7777;
}

/** The sum of the block's bytes with the checksum field as spaces. */
function unsignedSum(block: Uint8Array, at: number): number {
  const view = new DataView(block.buffer, block.byteOffset + at, BLOCK_BYTES);
  // Two sums of 16 bits side by side: 256 bytes each cannot overflow them.
  let sums = 0;
  for (let index = 0; index < BLOCK_BYTES; index += 4) {
    const word = view.getInt32(index);
    sums = (sums + (word & 0xff00ff) + ((word >>> 8) & 0xff00ff)) | 0;
  }
  let sum = (sums >>> 16) + (sums & 0xffff) + CHECKSUM.length * 0x20;
  for (let index = CHECKSUM.at; index < TYPE_AT; index++) sum -= view.getUint8(index);
  return sum;
}

/** Old Sun tars added the bytes as signed ones. */
function signedSum(block: Uint8Array, at: number): number {
  let sum = unsignedSum(block, at);
  for (let index = at; index < at + BLOCK_BYTES; index++) {
    const inChecksum = index - at >= CHECKSUM.at && index - at < TYPE_AT;
    if (!inChecksum && (block[index] ?? 0) >= 0x80) sum -= 0x100;
  }
  return sum;
}

function detectFormat(block: Uint8Array, at: number): TarFormat {
  if (hasText(block, at + MAGIC_AT, USTAR_MAGIC)) {
    return hasText(block, at + STAR_TRAILER_AT, STAR_TRAILER) ? "star" : "ustar";
  }
  return hasText(block, at + MAGIC_AT, GNU_MAGIC) ? "gnu" : "v7";
}

function hasText(block: Uint8Array, at: number, expected: string): boolean {
  for (let index = 0; index < expected.length; index++) {
    if (block[at + index] !== expected.charCodeAt(index)) return false;
  }
  return true;
}

function readPrefix(block: Uint8Array, at: number, format: TarFormat, refuse: Refuse): string {
  if (format === "ustar") return text(block, at, PREFIX);
  if (format === "star") {
    number(block, at, STAR_ATIME, "atime", refuse);
    number(block, at, STAR_CTIME, "ctime", refuse);
    return text(block, at, STAR_PREFIX);
  }
  if (isGnuTime(block, at, GNU_ATIME) && isGnuTime(block, at, GNU_CTIME)) return "";
  // Go before 1.8 wrote a prefix into GNU headers, over these times; its readers still take it for one.
  const prefix = text(block, at, PREFIX);
  return isAscii(prefix) ? prefix : "";
}

function isGnuTime(block: Uint8Array, at: number, field: Field): boolean {
  return block[at + field.at] === 0 || !Number.isNaN(parseNumeric(block, at, field));
}

function isAscii(value: string): boolean {
  for (let index = 0; index < value.length; index++) {
    if (value.charCodeAt(index) >= 0x80) return false;
  }
  return true;
}
