/*
 * Huffman codes of deflate (RFC 1951, section 3.2) for a reader that wants to know only how far each symbol goes: in the input by bits, in the
 * output by bytes. A table is looked up with the next `LOOKUP_BITS` bits:
 *
 *     bits 0-4   bits of the code, for a distance its extra bits too
 *     bits 5-8   extra bits that follow the code and count further output
 *     bits 9-17  bytes of output
 *     bits 18-19 kind
 *
 * Two literals that fit into the bits looked up are one entry. Codes that are longer are few; they are read bit by bit.
 */

const LOOKUP_BITS = 11;
export const LOOKUP_MASK: number = (1 << LOOKUP_BITS) - 1;
const MAX_CODE_BITS = 15;

export const KIND_SHIFT = 18;
const LITERAL = 0;
export const MATCH = 1;
export const END_OF_BLOCK = 2;
/** The code is longer than what is looked up, or there is none. */
export const LONG = 3;

export const OUTPUT_SHIFT = 9;
export const OUTPUT_MASK = 0x1ff;
export const EXTRA_SHIFT = 5;
export const EXTRA_MASK = 0xf;
export const BITS_MASK = 0x1f;

/** Section 3.2.5, lengths 3 to 258 by symbol from 257 on. */
const LENGTH_EXTRA: readonly number[] = [
  0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
const LENGTH_BASE: readonly number[] = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
];

/** One code, ready to be looked up. */
export interface Code {
  readonly table: Uint32Array;
  /** By length: how many symbols there are, for what the table does not hold. */
  readonly counts: Uint16Array;
  /** The symbols by length and value. */
  readonly symbols: Uint16Array;
  /** What a symbol's entry is without the bits of its code. */
  readonly entries: Uint32Array;
}

/** What each symbol of an alphabet does, without the bits of its code; `LONG` for those that may not occur. */
function alphabet(size: number, entryOf: (symbol: number) => number): Uint32Array {
  return Uint32Array.from({ length: size }, (_, symbol) => entryOf(symbol));
}

export const LITERALS: Uint32Array = alphabet(288, (symbol) => {
  if (symbol < 256) return (LITERAL << KIND_SHIFT) | (1 << OUTPUT_SHIFT);
  if (symbol === 256) return END_OF_BLOCK << KIND_SHIFT;
  const base = LENGTH_BASE[symbol - 257];
  const extra = LENGTH_EXTRA[symbol - 257];
  if (base === undefined || extra === undefined) return LONG << KIND_SHIFT;
  return (MATCH << KIND_SHIFT) | (base << OUTPUT_SHIFT) | (extra << EXTRA_SHIFT);
});

export const DISTANCES: Uint32Array = alphabet(32, (symbol) => {
  if (symbol >= 30) return LONG << KIND_SHIFT;
  return (MATCH << KIND_SHIFT) | (symbol < 4 ? 0 : (symbol >> 1) - 1);
});

/** The symbol itself where the output of others stands (section 3.2.7). */
export const CODE_LENGTHS: Uint32Array = alphabet(19, (symbol) => symbol << OUTPUT_SHIFT);

export function createCode(entries: Uint32Array): Code {
  return {
    table: new Uint32Array(1 << LOOKUP_BITS),
    counts: new Uint16Array(MAX_CODE_BITS + 1),
    symbols: new Uint16Array(entries.length),
    entries,
  };
}

/**
 * Fills a code from the lengths of its symbols' codes (section 3.2.2).
 * @returns false if the lengths make more codes than there are
 */
export function fillCode(code: Code, lengths: Uint8Array): boolean {
  const { table, counts, symbols, entries } = code;
  counts.fill(0);
  for (const length of lengths) counts[length]!++;
  counts[0] = 0;
  const offsets = new Uint16Array(MAX_CODE_BITS + 2);
  let left = 1;
  for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
    left = 2 * left - counts[bits]!;
    if (left < 0) return false;
    offsets[bits + 1] = offsets[bits]! + counts[bits]!;
  }
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const bits = lengths[symbol]!;
    if (bits > 0) symbols[offsets[bits]!++] = symbol;
  }
  table.fill(LONG << KIND_SHIFT);
  let value = 0;
  let index = 0;
  for (let bits = 1; bits <= LOOKUP_BITS; bits++, value <<= 1) {
    for (let count = counts[bits]!; count > 0; count--, value++) {
      const entry = entries[symbols[index++]!]! + bits;
      for (let at = reverse(value, bits); at <= LOOKUP_MASK; at += 1 << bits) table[at] = entry;
    }
  }
  return true;
}

/** Makes one entry of two literals wherever the bits looked up hold both. */
export function pairLiterals({ table }: Code): void {
  // Downwards, so that what a literal is followed by has not been paired itself: it stands at a smaller place.
  for (let at = LOOKUP_MASK; at >= 0; at--) {
    const first = table[at]!;
    if (first >> OUTPUT_SHIFT !== 1) continue;
    const bits = first & BITS_MASK;
    const second = table[at >> bits]!;
    if (second >> OUTPUT_SHIFT === 1 && bits + (second & BITS_MASK) <= LOOKUP_BITS) table[at] = first + second;
  }
}

/**
 * The entry of a code that is longer than what is looked up, with its bits; undefined if there is no such code.
 * @param bits - at least fifteen that are valid
 */
export function findLong({ counts, symbols, entries }: Code, bits: number): number | undefined {
  let value = 0;
  let first = 0;
  let index = 0;
  for (let length = 1; length <= MAX_CODE_BITS; length++) {
    value |= (bits >> (length - 1)) & 1;
    const count = counts[length]!;
    if (value - first < count) {
      const entry = entries[symbols[index + value - first]!]!;
      return entry >> KIND_SHIFT === LONG ? undefined : entry + length;
    }
    index += count;
    first = (first + count) << 1;
    value <<= 1;
  }
  return undefined;
}

/** Codes are packed from their highest bit on (section 3.1.1). */
function reverse(value: number, bits: number): number {
  let reversed = 0;
  for (let bit = 0; bit < bits; bit++) reversed |= ((value >> bit) & 1) << (bits - 1 - bit);
  return reversed;
}
