/**
 * gzip by hand (RFC 1952, RFC 1951): the same bytes wherever they are made, which no two builds of zlib promise, and streams
 * that no compressor would write.
 */

export interface GzipFields {
  /** Instead of the right check values. */
  crc?: number;
  size?: number;
  flags?: number;
  /** What stands between the fixed header and the data: the fields that the flags promise. */
  extra?: Uint8Array;
}

const STORED_BYTES = 0xffff;

/** One member with its data as it is. */
export function gzip(data: Uint8Array, fields: GzipFields = {}): Buffer {
  return member([storedBlocks(data, true)], fields.crc ?? crc32(data), fields.size ?? data.length, fields);
}

/** One member with `data` and, packed 1032 to 1, about `zeroBytes` zeros behind it. Gives how many there really are. */
export function gzipZeros(data: Uint8Array, zeroBytes: number, crc?: number): { bytes: Buffer; zeroBytes: number } {
  const { block, zeros } = zeroBlock(zeroBytes);
  const right = crc ?? crc32OfZeros(crc32(data), zeros);
  return {
    bytes: member([storedBlocks(data, false), block], right, (data.length + zeros) % 2 ** 32, {}),
    zeroBytes: zeros,
  };
}

function member(blocks: readonly Uint8Array[], crc: number, size: number, { flags = 0, extra }: GzipFields): Buffer {
  const head = Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 0xff]);
  const tail = Buffer.alloc(8);
  tail.writeUInt32LE(crc >>> 0, 0);
  tail.writeUInt32LE(size >>> 0, 4);
  return Buffer.concat([head, extra ?? Buffer.alloc(0), ...blocks, tail]);
}

function storedBlocks(data: Uint8Array, last: boolean): Buffer {
  const blocks: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < data.length; at += STORED_BYTES) {
    const part = data.subarray(at, at + STORED_BYTES);
    const head = Buffer.alloc(5);
    head[0] = last && at + STORED_BYTES >= data.length ? 1 : 0;
    head.writeUInt16LE(part.length, 1);
    head.writeUInt16LE(part.length ^ 0xffff, 3);
    blocks.push(head, part);
  }
  return Buffer.concat(blocks);
}

const MATCH_BYTES = 258;
const MATCHES_A_BYTE = 4;

/**
 * The last block: one literal zero, then copies of 258 bytes from one byte before. With dynamic codes each copy takes two bits,
 * both 0, so that the body of the block is bytes of 0.
 */
function zeroBlock(wanted: number): { block: Buffer; zeros: number } {
  const bytes = Math.ceil(wanted / (MATCH_BYTES * MATCHES_A_BYTE));
  const bits = new BitWriter();
  bits.put(0b1, 1); // the last block
  bits.put(0b10, 2); // dynamic codes
  bits.put(286 - 257, 5);
  bits.put(0, 5);
  bits.put(18 - 4, 4);
  // Lengths of the code for code lengths, in the order of RFC 1951, section 3.2.7: 18 has one bit, 1 and 2 have two.
  for (const length of [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2]) bits.put(length, 3);
  const two = (): void => bits.put(0b11, 2);
  const one = (): void => bits.put(0b01, 2);
  const noneFor = (count: number): void => {
    bits.put(0, 1);
    bits.put(count - 11, 7);
  };
  two(); // literal 0
  noneFor(138);
  noneFor(117);
  two(); // 256, the end
  noneFor(28);
  one(); // 285, a copy of 258 bytes
  one(); // distance 1
  bits.put(0b01, 2); // literal 0 is 10, its first bit first
  const head = bits.bytes();
  // What the last byte of the head has left is copies as well: two bits each.
  const spare = (8 - (bits.length % 8)) % 8;
  const tail = new BitWriter();
  if (spare % 2 === 1) tail.put(0, 1); // the second bit of a copy that the head has begun
  tail.put(0b11, 2); // the end
  const copies = Math.ceil(spare / 2) + bytes * MATCHES_A_BYTE;
  return { block: Buffer.concat([head, Buffer.alloc(bytes), tail.bytes()]), zeros: 1 + copies * MATCH_BYTES };
}

class BitWriter {
  readonly #bits: number[] = [];

  get length(): number {
    return this.#bits.length;
  }

  put(value: number, count: number): void {
    for (let bit = 0; bit < count; bit++) this.#bits.push((value >> bit) & 1);
  }

  bytes(): Buffer {
    const bytes = Buffer.alloc(Math.ceil(this.#bits.length / 8));
    for (const [at, bit] of this.#bits.entries()) bytes[at >> 3] = (bytes[at >> 3] ?? 0) | (bit << (at & 7));
    return bytes;
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

export function crc32(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Carries a check value on over zeros that nobody has to hold. */
function crc32OfZeros(before: number, count: number): number {
  let crc = ~before;
  for (let done = 0; done < count; done++) crc = (CRC_TABLE[crc & 0xff] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}
