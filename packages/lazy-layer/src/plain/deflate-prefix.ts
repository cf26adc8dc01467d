/** Bits as deflate has them: from the lowest of each byte on. */
export interface BitString {
  readonly bytes: Uint8Array;
  /** Bits of the first byte that come before. */
  readonly start: number;
  readonly length: number;
}

/** An empty block of the fixed code: ten bits (RFC 1951, section 3.2.6). */
const EVEN_BLOCK: BitString = { bytes: Uint8Array.of(0b10, 0), start: 0, length: 10 };
/** An empty block with a code of its own, for the odd places. */
const ODD_BLOCK: BitString = oddBlock();

/**
 * What a decoder of raw deflate is given so that it goes on at a bit within a stream: empty blocks until the place in the byte is right, then
 * the header of the block that lies open there, if one does.
 *
 * Of the last byte only the `bit` lowest bits are set; the others are those of the stream's byte. There is no byte where nothing is needed.
 */
export function deflatePrefix(bit: number, head: BitString | undefined): Uint8Array {
  const writer = createBitWriter();
  const wanted = (bit - (head?.length ?? 0)) & 7;
  if (wanted % 2 === 1) writer.append(ODD_BLOCK);
  while ((writer.length() & 7) !== wanted) writer.append(EVEN_BLOCK);
  if (head !== undefined) writer.append(head);
  return writer.bytes();
}

/** A prefix and the bytes from the one on in which the entry point lies. */
export function joinPrefix(prefix: Uint8Array, bit: number, bytes: Uint8Array): Uint8Array {
  if (prefix.length === 0) return bytes;
  const shared = bit === 0 ? 0 : 1;
  const joined = new Uint8Array(prefix.length + bytes.length - shared);
  joined.set(prefix);
  joined.set(bytes.subarray(shared), prefix.length);
  if (shared === 1) {
    const mask = (1 << bit) - 1;
    joined[prefix.length - 1] = (prefix.at(-1)! & mask) | (bytes[0]! & ~mask);
  }
  return joined;
}

/**
 * 97 bits: three symbols, of which the end of the block is one with a code of two bits, and one distance (section 3.2.7). zlib takes no code
 * that is not complete, but for the distances if there is only one.
 */
function oddBlock(): BitString {
  const writer = createBitWriter();
  const [dynamic, literals, distances, lengths] = [2, 258, 1, 18];
  writer.put(0, 1);
  writer.put(dynamic, 2);
  writer.put(literals - 257, 5);
  writer.put(distances - 1, 5);
  writer.put(lengths - 4, 4);
  // The lengths of the codes for 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1: for 18 it is one bit, for 1 and 2 they are two.
  for (const length of [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2]) writer.put(length, 3);
  const [zeros, one, two] = [0b0, 0b01, 0b11];
  for (const count of [138, 117]) {
    writer.put(zeros, 1);
    writer.put(count - 11, 7);
  }
  for (const length of [one, two, two, one]) writer.put(length, 2);
  const endOfBlock = 0b01;
  writer.put(endOfBlock, 2);
  return { bytes: writer.bytes(), start: 0, length: writer.length() };
}

interface BitWriter {
  /** The lowest bit first: a Huffman code has to be given reversed. */
  put(value: number, count: number): void;
  append(bits: BitString): void;
  length(): number;
  bytes(): Uint8Array;
}

function createBitWriter(): BitWriter {
  const bytes: number[] = [];
  let length = 0;

  function put(value: number, count: number): void {
    for (let index = 0; index < count; index++, length++) {
      if (length % 8 === 0) bytes.push(0);
      bytes[length >> 3]! |= ((value >> index) & 1) << (length & 7);
    }
  }

  return {
    put,
    append(bits) {
      for (let at = bits.start; at < bits.start + bits.length; at++) put(bits.bytes[at >> 3]! >> (at & 7), 1);
    },
    length: () => length,
    bytes: () => Uint8Array.from(bytes),
  };
}
