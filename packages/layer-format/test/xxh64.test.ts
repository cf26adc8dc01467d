import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createXxh64 } from "../src/xxh64.js";

function low(bytes: Uint8Array): number {
  const hash = createXxh64();
  hash.update(bytes);
  return hash.digestLow();
}

const MASK = (1n << 64n) - 1n;
const P: readonly [bigint, bigint, bigint, bigint, bigint] = [
  0x9e3779b185ebca87n,
  0xc2b2ae3d27d4eb4fn,
  0x165667b19e3779f9n,
  0x85ebca77c2b2ae63n,
  0x27d4eb2f165667c5n,
];
const rotate = (value: bigint, bits: bigint): bigint => ((value << bits) | (value >> (64n - bits))) & MASK;
const round = (lane: bigint, input: bigint): bigint => (rotate((lane + input * P[1]) & MASK, 31n) * P[0]) & MASK;

/** The specification, word by word, in big integers. */
function model(bytes: Buffer): number {
  let at = 0;
  let hash: bigint = P[4];
  if (bytes.length >= 32) {
    let lanes = [(P[0] + P[1]) & MASK, P[1], 0n, -P[0] & MASK];
    for (; at + 32 <= bytes.length; at += 32) {
      lanes = lanes.map((lane, index) => round(lane, bytes.readBigUInt64LE(at + index * 8)));
    }
    hash = lanes.reduce((sum, lane, index) => sum + rotate(lane, [1n, 7n, 12n, 18n][index] ?? 0n), 0n) & MASK;
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * P[0] + P[3]) & MASK;
  }
  hash = (hash + BigInt(bytes.length)) & MASK;
  for (; at + 8 <= bytes.length; at += 8) {
    hash = (rotate(hash ^ round(0n, bytes.readBigUInt64LE(at)), 27n) * P[0] + P[3]) & MASK;
  }
  if (at + 4 <= bytes.length) {
    hash = (rotate(hash ^ ((BigInt(bytes.readUInt32LE(at)) * P[0]) & MASK), 23n) * P[1] + P[2]) & MASK;
    at += 4;
  }
  for (; at < bytes.length; at++) hash = (rotate(hash ^ ((BigInt(bytes[at] ?? 0) * P[4]) & MASK), 11n) * P[0]) & MASK;
  hash = ((hash ^ (hash >> 33n)) * P[1]) & MASK;
  hash = ((hash ^ (hash >> 29n)) * P[2]) & MASK;
  return Number((hash ^ (hash >> 32n)) & 0xffffffffn);
}

describe("createXxh64()", () => {
  it("gives the published value of nothing", () => {
    expect(low(new Uint8Array())).toBe(0x51d8e999);
  });

  it("agrees with the specification for every length and way of splitting", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, cut) => {
        const hash = createXxh64();
        hash.update(bytes.subarray(0, cut));
        hash.update(bytes.subarray(cut));
        expect(hash.digestLow()).toBe(model(Buffer.from(bytes)));
      }),
      { numRuns: 500 },
    );
  });

  it("agrees with the specification over many stripes, from any offset of a buffer", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2000, maxLength: 5000, size: "max" }), fc.nat(40), (bytes, start) => {
        const view = bytes.subarray(start);
        expect(low(view)).toBe(model(Buffer.from(view)));
      }),
      { numRuns: 50 },
    );
  });

  it("carries from half to half where every bit is set", () => {
    for (const length of [32, 64, 1024, 1031]) {
      const bytes = new Uint8Array(length).fill(0xff);
      expect(low(bytes)).toBe(model(Buffer.from(bytes)));
    }
  });
});
