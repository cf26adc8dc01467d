import type { Random } from "./random.js";

/** Changes bytes in place or gives others; `other` is an input to take pieces from. */
export type Mutation = (bytes: Buffer, random: Random, other: Uint8Array) => Buffer;

const MAX_BYTES = 1 << 16;
const ODD_BYTES = [0, 1, 0x20, 0x2e, 0x2f, 0x30, 0x37, 0x38, 0x7f, 0x80, 0xbf, 0xc0, 0xfe, 0xff];

const flipBit: Mutation = (bytes, random) => {
  const at = random.below(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  return bytes;
};

const setByte: Mutation = (bytes, random) => {
  bytes[random.below(bytes.length)] = random.once(2) ? random.pick(ODD_BYTES) : random.below(256);
  return bytes;
};

const setNumber: Mutation = (bytes, random) => {
  const value = random.pick([0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff]);
  const number = Buffer.alloc(4);
  if (random.once(2)) number.writeUInt32LE(value);
  else number.writeUInt32BE(value);
  bytes.set(number.subarray(0, Math.max(0, bytes.length)), Math.max(0, random.below(bytes.length) - 4));
  return bytes;
};

const remove: Mutation = (bytes, random) => {
  const at = random.below(bytes.length);
  const end = at + 1 + random.below(Math.min(64, bytes.length - at));
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
};

const insert: Mutation = (bytes, random, other) => {
  const at = random.below(bytes.length + 1);
  const from = random.below(Math.max(1, other.length));
  const piece = other.subarray(from, from + 1 + random.below(64));
  return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
};

const overwrite: Mutation = (bytes, random, other) => {
  const at = random.below(bytes.length);
  const from = random.below(Math.max(1, other.length));
  const count = Math.min(1 + random.below(64), bytes.length - at);
  bytes.set(other.subarray(from, from + count), at);
  return bytes;
};

const truncate: Mutation = (bytes, random) => bytes.subarray(0, random.below(bytes.length));

const splice: Mutation = (bytes, random, other) =>
  Buffer.concat([
    bytes.subarray(0, random.below(bytes.length)),
    other.subarray(random.below(Math.max(1, other.length))),
  ]);

/** What can be done to bytes of any kind. */
export const BYTE_MUTATIONS: readonly Mutation[] = [
  flipBit,
  flipBit,
  setByte,
  setByte,
  setNumber,
  remove,
  insert,
  overwrite,
  truncate,
  splice,
];

/** One to eight of the mutations, one after the other, on a copy. */
export function mutate(input: Uint8Array, mutations: readonly Mutation[], random: Random, other: Uint8Array): Buffer {
  let bytes: Buffer = Buffer.from(input);
  for (let left = 1 << random.below(4); left > 0; left--) {
    if (bytes.length === 0) bytes = Buffer.from(other);
    if (bytes.length === 0) return bytes;
    bytes = random.pick(mutations)(bytes, random, other);
  }
  return bytes.subarray(0, MAX_BYTES);
}
