import { constants, crc32, deflateRawSync, gzipSync, type ZlibOptions } from "node:zlib";

/** Bytes as software has them: words, runs, repetitions from near and far, noise. The same for the same seed. */
export function sampleBytes(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const pieces: ((at: number) => Buffer)[] = [
    () => Buffer.from(Array.from({ length: random(400) }, () => random(256))),
    () => Buffer.alloc(random(3000), random(256)),
    (at) => {
      const from = Math.max(0, at - random(40_000));
      return Buffer.from(bytes.subarray(from, Math.min(at, from + random(600))));
    },
    () => Buffer.from(`function word${random(500)}(argument) { return ${random(50)}; }\n`),
  ];
  for (let at = 0; at < size;) at += pieces[random(pieces.length)]!(at).copy(bytes, at);
  return bytes;
}

const { Z_DEFAULT_STRATEGY, Z_FILTERED, Z_FIXED, Z_FULL_FLUSH, Z_HUFFMAN_ONLY, Z_RLE } = constants;

/** What makes streams of stored, fixed and dynamic blocks, short and long ones, with few matches or many. */
export const GZIP_OPTIONS: readonly ZlibOptions[] = [
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((level) => ({ level })),
  ...[Z_DEFAULT_STRATEGY, Z_FILTERED, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE].flatMap((strategy) =>
    [1, 9].map((memLevel) => ({ strategy, memLevel })),
  ),
  { windowBits: 9, level: 9 },
  // A stored block of no bytes after each chunk.
  { flush: Z_FULL_FLUSH, chunkSize: 1024 },
];

/** A member with every field that a header can have (RFC 1952, section 2.3). */
export function memberWithFields(bytes: Uint8Array, options: ZlibOptions = {}): Buffer {
  const header = Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, 0x1f, 0, 0, 0, 0, 0, 255, 5, 0]),
    Buffer.from("extraname.tar\0a comment\0", "latin1"),
  ]);
  const headerCrc = Buffer.alloc(2);
  headerCrc.writeUInt16LE(crc32(header) % 65_536);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(bytes));
  trailer.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([header, headerCrc, deflateRawSync(bytes, options), trailer]);
}

/** A member for each piece between two cuts, empty ones too. */
export function membersOf(bytes: Uint8Array, cuts: readonly number[]): Buffer {
  const places = [0, ...cuts, bytes.length].toSorted((one, other) => one - other);
  return Buffer.concat(places.slice(1).map((end, index) => gzipSync(bytes.subarray(places[index], end))));
}
