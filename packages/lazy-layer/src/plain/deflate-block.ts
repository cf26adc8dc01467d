import type { BitFeed } from "./bit-feed.js";
import {
  BITS_MASK,
  type Code,
  CODE_LENGTHS,
  createCode,
  DISTANCES,
  END_OF_BLOCK,
  EXTRA_MASK,
  EXTRA_SHIFT,
  fillCode,
  findLong,
  KIND_SHIFT,
  LITERALS,
  LONG,
  LOOKUP_MASK,
  MATCH,
  OUTPUT_MASK,
  OUTPUT_SHIFT,
  pairLiterals,
} from "./deflate-codes.js";
import { damagedGzip } from "./gzip-damage.js";

export interface BlockCodes {
  readonly literals: Code;
  readonly distances: Code;
}

/** A symbol, a match and the bits of its length and distance are read with words of four bytes from within seven. */
const SYMBOL_BYTES = 8;
/** Section 3.2.7. */
const LENGTH_ORDER: readonly number[] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/** Section 3.2.6. */
const FIXED_LENGTHS: Uint8Array = Uint8Array.from({ length: 288 }, (_, symbol) =>
  symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8,
);

export function fixedCodes(): BlockCodes {
  const codes = { literals: createCode(LITERALS), distances: createCode(DISTANCES) };
  fillCode(codes.literals, FIXED_LENGTHS);
  fillCode(codes.distances, new Uint8Array(32).fill(5));
  pairLiterals(codes.literals);
  return codes;
}

/** Reads the codes that blocks bring with them, always into the same tables. */
export function createCodesReader(): (feed: BitFeed) => BlockCodes {
  const codes = { literals: createCode(LITERALS), distances: createCode(DISTANCES) };
  const lengthCode = createCode(CODE_LENGTHS);

  return (feed) => {
    const literalCount = feed.bits(5) + 257;
    const distanceCount = feed.bits(5) + 1;
    const lengthCount = feed.bits(4) + 4;
    if (literalCount > 286) throw damagedGzip("a block has too many symbols");
    const own = new Uint8Array(LENGTH_ORDER.length);
    for (let index = 0; index < lengthCount; index++) own[LENGTH_ORDER[index]!] = feed.bits(3);
    if (!fillCode(lengthCode, own)) throw wrongCode();
    const lengths = readLengths(feed, lengthCode, literalCount + distanceCount);
    const isFilled =
      fillCode(codes.literals, lengths.subarray(0, literalCount)) &&
      fillCode(codes.distances, lengths.subarray(literalCount));
    if (!isFilled) throw wrongCode();
    pairLiterals(codes.literals);
    return codes;
  };
}

/** Section 3.2.7. */
function readLengths(feed: BitFeed, { table }: Code, count: number): Uint8Array {
  const lengths = new Uint8Array(count);
  for (let index = 0; index < count;) {
    const entry = table[feed.peek() & LOOKUP_MASK]!;
    if (entry >> KIND_SHIFT === LONG) throw wrongCode();
    feed.at += entry & BITS_MASK;
    const symbol = entry >> OUTPUT_SHIFT;
    if (symbol < 16) {
      lengths[index++] = symbol;
      continue;
    }
    if (symbol === 16 && index === 0) throw wrongCode();
    const value = symbol === 16 ? lengths[index - 1]! : 0;
    const end = index + (symbol === 16 ? 3 + feed.bits(2) : symbol === 17 ? 3 + feed.bits(3) : 11 + feed.bits(7));
    if (end > count) throw wrongCode();
    lengths.fill(value, index, end);
    index = end;
  }
  return lengths;
}

/**
 * Goes on to the end of the block, to `most` bytes of output or to the end of what has come, whichever is first.
 * @returns the bytes of output; `isDone` at the end of the block
 */
export function followSymbols(
  feed: BitFeed,
  { literals, distances }: BlockCodes,
  most: number,
): { readonly output: number; readonly isDone: boolean } {
  const { view } = feed;
  const { table: literalTable } = literals;
  const { table: distanceTable } = distances;
  const limit = 8 * (feed.end - SYMBOL_BYTES);
  let at = feed.at;
  let output = 0;
  let isDone = false;
  while (at < limit && output < most) {
    let word = view.getInt32(at >>> 3, true) >>> (at & 7);
    let entry = literalTable[word & LOOKUP_MASK]!;
    if (entry < MATCH << KIND_SHIFT) {
      at += entry & BITS_MASK;
      output += entry >>> OUTPUT_SHIFT;
      // The word holds another code: two of those looked up have 22 bits.
      entry = literalTable[(word >>> (entry & BITS_MASK)) & LOOKUP_MASK]!;
      if (entry < MATCH << KIND_SHIFT) {
        at += entry & BITS_MASK;
        output += entry >>> OUTPUT_SHIFT;
        continue;
      }
      word = view.getInt32(at >>> 3, true) >>> (at & 7);
    }
    if (entry >= LONG << KIND_SHIFT) {
      entry = findLong(literals, word) ?? unknownCode();
      if (entry < MATCH << KIND_SHIFT) {
        at += entry & BITS_MASK;
        output++;
        continue;
      }
    }
    at += entry & BITS_MASK;
    if (entry >= END_OF_BLOCK << KIND_SHIFT) {
      isDone = true;
      break;
    }
    const extra = (entry >>> EXTRA_SHIFT) & EXTRA_MASK;
    output += ((entry >>> OUTPUT_SHIFT) & OUTPUT_MASK) + ((word >>> (entry & BITS_MASK)) & ((1 << extra) - 1));
    at += extra;
    word = view.getInt32(at >>> 3, true) >>> (at & 7);
    entry = distanceTable[word & LOOKUP_MASK]!;
    if (entry >= LONG << KIND_SHIFT) entry = findLong(distances, word) ?? unknownCode();
    at += entry & BITS_MASK;
  }
  feed.at = at;
  return { output, isDone };
}

function wrongCode(): Error {
  return damagedGzip("a block's code is wrong");
}

function unknownCode(): never {
  throw damagedGzip("a code stands for nothing");
}
