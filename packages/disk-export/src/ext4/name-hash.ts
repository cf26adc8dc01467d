/*
 * The hash that orders a directory's index: half of MD4 (two of its rounds' constants, eight words a block) over the name.
 * Facts from Linux, Documentation/filesystems/ext4/directory.rst and fs/ext4/hash.c; MD4 is RFC 1320.
 */
const BLOCK_WORDS = 8;
const BLOCK_BYTES = 4 * BLOCK_WORDS;
const SECOND_ROUND = 0x5a827999;
const THIRD_ROUND = 0x6ed9eba1;
/** The order in which the second and the third round take the words. */
const SECOND_ORDER = [1, 3, 5, 7, 0, 2, 4, 6] as const;
const THIRD_ORDER = [3, 7, 2, 6, 1, 5, 0, 4] as const;
/** MD4's own start, for a seed of zeros. */
const DEFAULT_STATE = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476] as const;
/** Means the end of a directory to the kernel; no name may have it. */
const END_HASH = 0xfffffffe;

/** Gives a name's hash: even, 32 bits, unsigned. */
export type NameHash = (name: string) => number;

/**
 * `EXT4_DX_HASH_HALF_MD4`, with the bytes of a name as signed characters.
 * @param seed sixteen bytes, `s_hash_seed`
 */
export function createNameHash(seed: Uint8Array): NameHash {
  const start = initialState(seed);
  const state = new Int32Array(4);
  const words = new Int32Array(BLOCK_WORDS);
  return (name) => {
    state.set(start);
    for (let at = 0; at < name.length; at += BLOCK_BYTES) {
      fillWords(words, name, at);
      mixWords(state, words);
    }
    const hash = (state[1]! & ~1) >>> 0;
    return hash === END_HASH ? END_HASH - 2 : hash;
  };
}

function initialState(seed: Uint8Array): Int32Array {
  const view = new DataView(seed.buffer, seed.byteOffset, seed.byteLength);
  const state = Int32Array.from(DEFAULT_STATE, (_, index) => view.getInt32(4 * index, true));
  return state.some((word) => word !== 0) ? state : Int32Array.from(DEFAULT_STATE);
}

/** Big-endian sums of four characters; what the name lacks is its remaining length, four times. */
function fillWords(words: Int32Array, name: string, at: number): void {
  const left = name.length - at;
  const filler = left * 0x01010101;
  for (let index = 0; index < BLOCK_WORDS; index++) {
    let word = filler;
    const from = 4 * index;
    const to = Math.min(from + 4, left);
    for (let character = from; character < to; character++) {
      word = ((name.charCodeAt(at + character) << 24) >> 24) + (word << 8);
    }
    words[index] = word;
  }
}

function mixWords(state: Int32Array, words: Int32Array): void {
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  for (let at = 0; at < BLOCK_WORDS; at += 4) {
    a = rotate(a + (d ^ (b & (c ^ d))) + words[at]!, 3);
    d = rotate(d + (c ^ (a & (b ^ c))) + words[at + 1]!, 7);
    c = rotate(c + (b ^ (d & (a ^ b))) + words[at + 2]!, 11);
    b = rotate(b + (a ^ (c & (d ^ a))) + words[at + 3]!, 19);
  }
  for (let at = 0; at < BLOCK_WORDS; at += 4) {
    a = rotate(a + majority(b, c, d) + words[SECOND_ORDER[at]!]! + SECOND_ROUND, 3);
    d = rotate(d + majority(a, b, c) + words[SECOND_ORDER[at + 1]!]! + SECOND_ROUND, 5);
    c = rotate(c + majority(d, a, b) + words[SECOND_ORDER[at + 2]!]! + SECOND_ROUND, 9);
    b = rotate(b + majority(c, d, a) + words[SECOND_ORDER[at + 3]!]! + SECOND_ROUND, 13);
  }
  for (let at = 0; at < BLOCK_WORDS; at += 4) {
    a = rotate(a + (b ^ c ^ d) + words[THIRD_ORDER[at]!]! + THIRD_ROUND, 3);
    d = rotate(d + (a ^ b ^ c) + words[THIRD_ORDER[at + 1]!]! + THIRD_ROUND, 9);
    c = rotate(c + (d ^ a ^ b) + words[THIRD_ORDER[at + 2]!]! + THIRD_ROUND, 11);
    b = rotate(b + (c ^ d ^ a) + words[THIRD_ORDER[at + 3]!]! + THIRD_ROUND, 15);
  }
  state[0] = state[0]! + a;
  state[1] = state[1]! + b;
  state[2] = state[2]! + c;
  state[3] = state[3]! + d;
}

function majority(x: number, y: number, z: number): number {
  return (x & y) + ((x ^ y) & z);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
