import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createLz4Encoder } from "../src/erofs/compression/lz4-encoder.js";
import { LZ4_MODULE } from "../src/erofs/compression/lz4-module.js";
import { decodeLz4 } from "./lz4-decoder.js";

const encoder = createLz4Encoder(LZ4_MODULE);

/** Encodes from `start`, checks what was encoded against the independent decoder, and gives how much was. */
function roundTrip(source: Uint8Array, limit: number, start = 0): { consumed: number; produced: number } {
  encoder.load(source);
  const { consumed, bytes } = encoder.encode({ start, end: source.length, limit });
  expect(bytes.length).toBeLessThanOrEqual(limit);
  const decoded = decodeLz4(bytes);
  expect(Buffer.compare(decoded, source.subarray(start, start + consumed))).toBe(0);
  return { consumed, produced: bytes.length };
}

function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** Runs, repeats from near and far, and noise, so that matches and literals of all lengths meet. */
const sources = fc
  .array(
    fc.oneof(
      fc.record({ noise: fc.nat(400), seed: fc.nat() }),
      fc.record({ run: fc.nat(2000), of: fc.nat(255) }),
      fc.record({ copy: fc.nat(800), back: fc.nat(70_000) }),
      fc.record({ letters: fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 200 }) }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => {
    const bytes: number[] = [];
    for (const part of parts) {
      if ("noise" in part) bytes.push(...noise(part.noise, part.seed));
      else if ("run" in part) bytes.push(...new Uint8Array(part.run).fill(part.of));
      else if ("letters" in part) bytes.push(...Buffer.from(part.letters));
      else {
        const from = Math.max(0, bytes.length - 1 - part.back);
        bytes.push(...bytes.slice(from, from + part.copy));
      }
    }
    return Uint8Array.from(bytes);
  });

describe("createLz4Encoder()", () => {
  it("gives what decodes to its input, whatever that is and however little room there is", () => {
    fc.assert(
      fc.property(sources, fc.integer({ min: 16, max: 9000 }), (source, limit) => {
        roundTrip(source, limit);
      }),
      { numRuns: 400 },
    );
  });

  it("encodes all of an input that fits", () => {
    fc.assert(
      fc.property(sources, (source) => {
        expect(roundTrip(source, source.length + Math.ceil(source.length / 255) + 16).consumed).toBe(source.length);
      }),
      { numRuns: 100 },
    );
  });

  it("goes on where the block before ended, with nothing carried over", () => {
    fc.assert(
      fc.property(sources, fc.integer({ min: 16, max: 2000 }), (source, limit) => {
        for (let at = 0; at < source.length;) {
          const { consumed, produced } = roundTrip(source, limit, at);
          const alone = createLz4Encoder(LZ4_MODULE);
          const rest = source.slice(at);
          alone.load(rest);
          const again = alone.encode({ start: 0, end: rest.length, limit });
          const used = encoder.encode({ start: at, end: source.length, limit });
          expect({ consumed: again.consumed, produced: again.bytes.length }).toEqual({ consumed, produced });
          expect(Buffer.compare(again.bytes, used.bytes)).toBe(0);
          expect(consumed).toBeGreaterThan(0);
          at += consumed;
        }
      }),
      { numRuns: 25 },
    );
  });

  it.each(Array.from({ length: 40 }, (_, length) => length))("encodes a run of %i bytes", (length) => {
    const { consumed, produced } = roundTrip(new Uint8Array(length).fill(7), 64);
    expect(consumed).toBe(length);
    if (length >= 17) expect(produced).toBeLessThan(length);
  });

  it.each([65_534, 65_535, 65_536])("keeps to distances of 65535: a repeat after %i bytes", (distance) => {
    const head = noise(40, 5);
    const filling = new Uint8Array(distance - head.length).fill(1);
    const source = Buffer.concat([head, filling, head, noise(20, 9)]);
    const { produced } = roundTrip(source, 1 << 17);
    // The repeat is a match exactly if it is near enough.
    expect(produced < 40 + 257 + 40 + 20).toBe(distance <= 65_535);
  });

  it.each([18, 19, 15 + 4 + 254, 15 + 4 + 255, 15 + 4 + 256, 100_000])("encodes a match of %i bytes", (length) => {
    const source = Buffer.concat([noise(30), new Uint8Array(length + 1).fill(3), noise(13, 2)]);
    expect(roundTrip(source, source.length).produced).toBeLessThan(30 + 13 + 12 + length / 255);
  });

  it.each([14, 15, 16, 15 + 254, 15 + 255, 15 + 256])("encodes %i literals before a match", (length) => {
    const source = Buffer.concat([noise(length), new Uint8Array(60).fill(9), noise(12, 4)]);
    expect(roundTrip(source, source.length).consumed).toBe(source.length);
  });

  it("takes a little less than its room of what does not compress", () => {
    const { consumed, produced } = roundTrip(noise(100_000), 65_536);
    expect(produced).toBeGreaterThan(65_530);
    expect(consumed).toBeGreaterThan(65_536 - 65_536 / 200);
    expect(consumed).toBeLessThan(65_536);
  });

  it("fills its room to the last bytes", () => {
    const text = Buffer.from(Array.from({ length: 9000 }, (_, index) => `line ${index * 7919} of this\n`).join(""));
    expect(roundTrip(text, 4096 * 4).produced).toBeGreaterThan(4096 * 4 - 20);
  });
});

describe("LZ4_MODULE", () => {
  it("is what its source compiles to", () => {
    const compiled = execFileSync(process.execPath, [fileURLToPath(new URL("../wasm/compile.mjs", import.meta.url))]);
    const module = readFileSync(new URL("../src/erofs/compression/lz4-module.ts", import.meta.url));
    expect(compiled.toString()).toBe(module.toString());
  });
});
