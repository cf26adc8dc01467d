/*
 * An encoder of LZ4 blocks (lz4_Block_format.md), in AssemblyScript: greedy, one place kept for each hash of four bytes (measured: chains of places make a disk 7%
 * smaller in three times the time). `src/erofs/compression/lz4-encoder.ts` runs it, and says what it promises; `npm run wasm` in the package compiles it.
 *
 * Its memory: the table of places, the input, and the output, the last two with room behind them for copies of eight bytes at a time that go too far.
 */

const PAGE: u32 = 1 << 16;
const HASH_BITS: u32 = 14;
const TABLE_BYTES: u32 = 4 << HASH_BITS;

/** The most that an input or a block may have. */
export const ROOM: u32 = 1 << 20;
export const INPUT: u32 = TABLE_BYTES;
export const OUTPUT: u32 = INPUT + ROOM + PAGE;

const MATCH_MIN: u32 = 4;
const DISTANCE_MAX: u32 = 65_535;
/** The format's rules for decoders: the last five bytes are literals, and no match starts in the last twelve. */
const LAST_LITERALS: u32 = 5;
const LAST_MATCH_START: u32 = 12;
/** A token and the literals that a block ends with after a match of four bytes; kept free until the end. */
const ENDING_BYTES: u32 = 1 + LAST_MATCH_START - MATCH_MIN;
const HASH_FACTOR: u32 = 0x9e3779b1;
/** The more bytes without a match, the longer the steps: one byte longer for every 2^5 steps. */
const PATIENCE_BITS: u32 = 5;

/** Bytes of the input that the last block holds. */
export let consumed: u32 = 0;

/** Encodes the input from one offset up to another into a block of at most `limit` bytes. Gives its length. */
export function encode(startOffset: u32, endOffset: u32, limit: u32): u32 {
  const start = INPUT + startOffset;
  const end = INPUT + endOffset;
  const outEnd = OUTPUT + limit;
  const matchEnd = end - LAST_LITERALS;
  const searchEnd = end - LAST_MATCH_START;
  // An address is never 0: that stands for none.
  memory.fill(0, 0, TABLE_BYTES);

  let anchor = start;
  let at = start;
  let out = OUTPUT;
  let steps: u32 = 1 << PATIENCE_BITS;
  while (at <= searchEnd) {
    const first = load<u32>(at);
    const slot = slotOf(first);
    let from = load<u32>(slot);
    store<u32>(slot, at);
    if (from == 0 || at - from > DISTANCE_MAX || load<u32>(from) != first) {
      at += steps++ >> PATIENCE_BITS;
      continue;
    }
    let matchStart = at;
    while (matchStart > anchor && from > start && load<u8>(matchStart - 1) == load<u8>(from - 1)) {
      matchStart--;
      from--;
    }
    const distance = matchStart - from;
    at = endOfMatch(at + MATCH_MIN, distance, matchEnd);

    const literals = matchStart - anchor;
    const extra = at - matchStart - MATCH_MIN;
    const size = 3 + literals + (literals + 240) / 255 + (extra + 240) / 255;
    if (out + size + ENDING_BYTES > outEnd) break;
    store<u8>(out++, (min<u32>(literals, 15) << 4) | min<u32>(extra, 15));
    if (literals >= 15) out = writeLength(out, literals - 15);
    out = copyLiterals(anchor, literals, out);
    store<u16>(out, <u16>distance);
    out += 2;
    if (extra >= 15) out = writeLength(out, extra - 15);

    anchor = at;
    steps = 1 << PATIENCE_BITS;
    if (at > searchEnd) break;
    const inside = at - 2;
    store<u32>(slotOf(load<u32>(inside)), inside);
  }

  // As many literals as fit, with the bytes that count them.
  const room = outEnd - out - 1;
  let count = min<u32>(end - anchor, room);
  while (count >= 15 && count + 1 + (count - 15) / 255 > room) count--;
  store<u8>(out++, min<u32>(count, 15) << 4);
  if (count >= 15) out = writeLength(out, count - 15);
  out = copyLiterals(anchor, count, out);
  consumed = anchor + count - start;
  return out - OUTPUT;
}

function slotOf(value: u32): u32 {
  return ((value * HASH_FACTOR) >>> (32 - HASH_BITS)) << 2;
}

function endOfMatch(start: u32, distance: u32, end: u32): u32 {
  let at = start;
  while (at + 8 <= end) {
    const difference = load<u64>(at) ^ load<u64>(at - distance);
    if (difference != 0) return at + <u32>(ctz(difference) >>> 3);
    at += 8;
  }
  while (at < end && load<u8>(at) == load<u8>(at - distance)) at++;
  return at;
}

function writeLength(start: u32, length: u32): u32 {
  let at = start;
  let left = length;
  while (left >= 255) {
    store<u8>(at++, 255);
    left -= 255;
  }
  store<u8>(at++, left);
  return at;
}

function copyLiterals(from: u32, length: u32, to: u32): u32 {
  if (length > 64) memory.copy(to, from, length);
  else for (let at: u32 = 0; at < length; at += 8) store<u64>(to + at, load<u64>(from + at));
  return to + length;
}
