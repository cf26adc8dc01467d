import type { Field } from "./layout.js";

const SPACE = 0x20;
const MAX_INT64 = "9223372036854775807";
const NANOSECOND_DIGITS = 9;

/**
 * A numeric header field: octal text between spaces and NULs, or two's complement where the first bit is set (GNU "base-256").
 * An empty field is 0. NaN if it is neither or needs over 63 bits; exact within the safe integers.
 */
export function parseNumeric(block: Uint8Array, at: number, field: Field): number {
  const start = at + field.at;
  const first = block[start] ?? 0;
  return first & 0x80 ? parseBinary(block, start, field.length) : parseOctal(block, start, field.length);
}

/** A field that is octal whatever its first bit says: the checksum. */
export function parseOctal(block: Uint8Array, start: number, length: number): number {
  let from = start;
  let to = start + length;
  while (from < to && isPadding(block[from])) from++;
  while (from < to && isPadding(block[to - 1])) to--;
  let value = 0;
  for (; from < to; from++) {
    const digit = (block[from] ?? 0) - 0x30;
    if (digit === -0x30) break;
    if (digit < 0 || digit > 7) return Number.NaN;
    value = value * 8 + digit;
  }
  return value;
}

function isPadding(byte: number | undefined): boolean {
  return byte === SPACE || byte === 0;
}

function parseBinary(block: Uint8Array, start: number, length: number): number {
  const first = block[start] ?? 0;
  const inverted = first & 0x40 ? 0xff : 0;
  let value = (first ^ inverted) & 0x7f;
  for (let index = start + 1; index < start + length; index++) {
    value = value * 256 + ((block[index] ?? 0) ^ inverted);
  }
  if (value >= 2 ** 63) return Number.NaN;
  return inverted ? -value - 1 : value;
}

/** A decimal 64-bit integer with an optional sign and nothing else, in `bytes` from `start` to `end`; else NaN. */
export function parseDecimal(bytes: Uint8Array, start: number, end: number): number {
  const sign = bytes[start];
  const negative = sign === 0x2d;
  let from = negative || sign === 0x2b ? start + 1 : start;
  if (from >= end) return Number.NaN;
  while (from < end - 1 && bytes[from] === 0x30) from++;
  if (end - from > MAX_INT64.length) return Number.NaN;
  let value = 0;
  for (let index = from; index < end; index++) {
    const digit = (bytes[index] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  if (end - from === MAX_INT64.length && isOver(bytes, from, negative)) return Number.NaN;
  return negative ? -value : value;
}

/** Doubles cannot tell 2^63 from its neighbours, so the digits are compared. */
function isOver(bytes: Uint8Array, from: number, negative: boolean): boolean {
  for (let index = 0; index < MAX_INT64.length; index++) {
    const limit = MAX_INT64.charCodeAt(index) + (negative && index === MAX_INT64.length - 1 ? 1 : 0);
    const digit = bytes[from + index] ?? 0;
    if (digit !== limit) return digit > limit;
  }
  return false;
}

/** Seconds since 1970 and the nanoseconds counted forward from them. */
export interface TarTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** A PAX time, `[-]seconds[.fraction]`, with what is finer than a nanosecond cut off; undefined if it is none. */
export function parsePaxTime(bytes: Uint8Array): TarTime | undefined {
  const dot = bytes.indexOf(0x2e);
  const whole = parseDecimal(bytes, 0, dot < 0 ? bytes.length : dot);
  if (Number.isNaN(whole)) return undefined;
  let fraction = 0;
  if (dot >= 0) {
    for (let index = dot + 1; index < bytes.length; index++) {
      const digit = (bytes[index] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) return undefined;
      if (index - dot <= NANOSECOND_DIGITS) fraction = fraction * 10 + digit;
    }
    fraction *= 10 ** Math.max(0, NANOSECOND_DIGITS - (bytes.length - dot - 1));
  }
  const seconds = clampTime(whole);
  if (bytes[0] === 0x2d && fraction > 0) return { seconds: seconds - 1, nanoseconds: 1e9 - fraction };
  return { seconds, nanoseconds: fraction };
}

/** A time that a layer archive can hold, which folds the sign into a safe integer: no file system stores what is beyond. */
export function clampTime(seconds: number): number {
  const limit = 2 ** 52 - 1;
  // Adding 0 makes -0 a plain 0.
  return Math.min(Math.max(seconds, -limit), limit) + 0;
}
