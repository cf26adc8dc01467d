import { BYTE_MUTATIONS, mutate, type Mutation } from "./mutate.js";
import type { Random } from "./random.js";
import { base256, BLOCK_BYTES, fixChecksum, octal, paxHeader, type PaxRecord } from "./tar-bytes.js";

/** Numeric fields: where they begin, and how long they are. */
const NUMBER_FIELDS = [
  [100, 8],
  [108, 8],
  [116, 8],
  [124, 12],
  [136, 12],
  [329, 8],
  [337, 8],
  [386, 12],
  [398, 12],
  [410, 12],
  [422, 12],
  [483, 12],
] as const;
const NUMBERS = [0, 1, 7, 511, 512, 513, 1024, 4096, 2 ** 20, 2 ** 20 + 1, 2 ** 31, 2 ** 33, 2 ** 53 - 1, 2 ** 53];
const NEGATIVE = [-1, -512, -(2 ** 53)];
const TYPES = "\x0001234567LKSxgDVMNXZA";
const NAMES = ["..", "../../x", "/", "./", "a/../b", ".wh.a", ".wh..wh..opq", ".wh.", "a", "dir/", "\xff\xfe"];
const SIZES = ["0", "1", "512", "513", "-1", "+5", "0x10", "1e3", "9007199254740993", "9223372036854775808", "007"];
const KEYS: readonly (readonly [string, readonly string[]])[] = [
  ["path", NAMES],
  ["linkpath", NAMES],
  ["size", SIZES],
  ["uid", SIZES],
  ["mtime", ["1.5", "-1.5", "-0.5", ".", "1.", "99999999999999999999", "1.0000000001"]],
  ["SCHILY.xattr.user.a", ["", "x", "\0\xff"]],
  ["GNU.sparse.major", ["0", "1", "2", "1\0"]],
  ["GNU.sparse.minor", ["0", "1"]],
  ["GNU.sparse.map", ["0,1", "0,1,1", "5,1,0,1", "", ",", "0,0,512,0", "9007199254740991,1"]],
  ["GNU.sparse.numblocks", SIZES],
  ["GNU.sparse.offset", SIZES],
  ["GNU.sparse.numbytes", SIZES],
  ["GNU.sparse.size", SIZES],
  ["GNU.sparse.realsize", SIZES],
  ["GNU.sparse.name", NAMES],
];

const setNumberField: Mutation = (bytes, random) => {
  const block = headerAt(bytes, random);
  if (block === undefined) return bytes;
  const [at, length] = random.pick(NUMBER_FIELDS);
  const value = random.once(5) ? random.pick(NEGATIVE) : random.pick(NUMBERS);
  const field = value < 0 || random.once(3) ? base256(value, length) : octal(value, length);
  bytes.set(typeof field === "string" ? Buffer.from(field.slice(-length), "latin1") : field, block + at);
  return bytes;
};

const setType: Mutation = (bytes, random) => {
  const block = headerAt(bytes, random);
  if (block !== undefined) bytes[block + 156] = TYPES.charCodeAt(random.below(TYPES.length));
  return bytes;
};

const setName: Mutation = (bytes, random) => {
  const block = headerAt(bytes, random);
  if (block !== undefined) bytes.write(`${random.pick(NAMES)}\0`, block + random.pick([0, 157, 345]), "latin1");
  return bytes;
};

const insertPax: Mutation = (bytes, random) => {
  const records = Array.from({ length: 1 + random.below(4) }, (): PaxRecord => {
    const [key, values] = random.pick(KEYS);
    return [key, random.pick(values)];
  });
  const at = blockAt(bytes, random);
  return Buffer.concat([bytes.subarray(0, at), paxHeader(records, random.once(8) ? "g" : "x"), bytes.subarray(at)]);
};

const moveBlock: Mutation = (bytes, random, other) => {
  const [at, to] = [blockAt(bytes, random), blockAt(bytes, random)];
  if (random.once(2)) {
    const from = blockAt(other, random);
    const block = other.subarray(from, from + BLOCK_BYTES * (1 + random.below(3)));
    return Buffer.concat([bytes.subarray(0, to), block, bytes.subarray(to)]);
  }
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + BLOCK_BYTES)]);
};

const TAR_MUTATIONS: readonly Mutation[] = [
  ...BYTE_MUTATIONS,
  setNumberField,
  setNumberField,
  setNumberField,
  setType,
  setType,
  setName,
  insertPax,
  insertPax,
  moveBlock,
  moveBlock,
];

/** A changed tar. Half of the time its checksums are right again, or hardly any change would come past them. */
export function mutateTar(input: Uint8Array, random: Random, other: Uint8Array): Buffer {
  const bytes = mutate(input, TAR_MUTATIONS, random, other);
  if (random.once(2)) return bytes;
  for (let at = 0; at + BLOCK_BYTES <= bytes.length; at += BLOCK_BYTES) {
    if (looksLikeHeader(bytes, at)) fixChecksum(bytes, at);
  }
  return bytes;
}

/** A header by the form of its checksum, whatever its value. */
function looksLikeHeader(bytes: Uint8Array, at: number): boolean {
  return /^[0-7]{6}\0 $/.test(Buffer.from(bytes.subarray(at + 148, at + 156)).toString("latin1"));
}

function headerAt(bytes: Uint8Array, random: Random): number | undefined {
  const blocks: number[] = [];
  for (let at = 0; at + BLOCK_BYTES <= bytes.length; at += BLOCK_BYTES) if (looksLikeHeader(bytes, at)) blocks.push(at);
  return blocks.length === 0 ? undefined : random.pick(blocks);
}

function blockAt(bytes: Uint8Array, random: Random): number {
  return BLOCK_BYTES * random.below(Math.ceil(bytes.length / BLOCK_BYTES) + 1);
}
