import { spawnSync } from "node:child_process";
import { constants, gunzipSync, gzipSync } from "node:zlib";

import { LayerFormatError } from "@lamella/layer-format";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { deflatePrefix, joinPrefix } from "../../src/plain/deflate-prefix.js";
import { createGzipWalker, type GzipEntryPoint } from "../../src/plain/gzip-walker.js";
import { arrangeSpans, type Span } from "../../src/plain/plain-index.js";
import { createSpanCutter } from "../../src/plain/span-cutter.js";
import { inflateSpan } from "../../src/plain/span-inflate.js";
import { gzipStarts } from "../../src/plain/span-starts.js";
import { GZIP_OPTIONS, memberWithFields, membersOf, sampleBytes } from "./gzip-samples.js";

const SAMPLE = sampleBytes(150_000);

function pointsOf(blob: Uint8Array, spanBytes: number, chunkBytes = 65_536): GzipEntryPoint[] {
  const points: GzipEntryPoint[] = [];
  const walker = createGzipWalker(spanBytes, (point) => points.push(point));
  for (let at = 0; at < blob.length; at += chunkBytes) walker.push(blob.subarray(at, at + chunkBytes));
  walker.end();
  return points;
}

function spansOf(blob: Uint8Array, tar: Uint8Array, spanBytes: number): Span[] {
  const starts = gzipStarts();
  for (const point of pointsOf(blob, spanBytes)) starts.add(point);
  const cutter = createSpanCutter(starts);
  cutter.push(tar);
  return arrangeSpans(cutter.end(), blob.length);
}

/** Unpacks every span from its own bytes alone. */
async function expectEachSpan(blob: Uint8Array, tar: Uint8Array, spanBytes: number): Promise<Span[]> {
  const spans = spansOf(blob, tar, spanBytes);
  for (const span of spans) {
    const bytes = await inflateSpan(span, blob.slice(span.blobOffset, span.blobEnd));
    if (!tar.subarray(span.offset, span.offset + span.length).every((byte, index) => byte === bytes[index]))
      expect.fail(`the span at ${span.offset} of ${spanBytes} differs`);
    expect(bytes.length).toBe(span.length);
  }
  expect(spans.reduce((sum, { length }) => sum + length, 0)).toBe(tar.length);
  return spans;
}

describe("createGzipWalker()", () => {
  it("finds points from which each span can be unpacked alone, whatever made the stream", async () => {
    for (const options of GZIP_OPTIONS) await expectEachSpan(gzipSync(SAMPLE, options), SAMPLE, 20_000);
  });

  it("enters a stream at each of the eight bits of a byte", async () => {
    const spans = await expectEachSpan(gzipSync(SAMPLE), SAMPLE, 1000);
    expect(new Set(spans.filter(({ kind }) => kind === "deflate").map(({ bit }) => bit)).size).toBe(8);
  });

  it("cuts a stream of one block evenly", async () => {
    const blob = gzipSync(SAMPLE, { strategy: constants.Z_FIXED, level: 1 });
    const spans = await expectEachSpan(blob, SAMPLE, 10_000);
    for (const { length } of spans.slice(0, -1)) expect(length).toBeLessThanOrEqual(10_258);
  });

  it("follows members with every header field, and cuts in front of them", async () => {
    const halves = [SAMPLE.subarray(0, 75_000), SAMPLE.subarray(75_000)];
    const blob = Buffer.concat(halves.map((half) => memberWithFields(half)));
    expect(gunzipSync(blob).equals(SAMPLE)).toBe(true);
    const spans = await expectEachSpan(blob, SAMPLE, 50_000);
    expect(spans.map(({ kind }) => kind)).toEqual(["gzip", "deflate", "gzip", "deflate"]);
  });

  it("takes small members together, and empty ones for nothing", async () => {
    const cuts = Array.from({ length: 150 }, (_, index) => 1000 * index);
    const spans = await expectEachSpan(membersOf(SAMPLE, [...cuts, 0, 0, 5000, 5000, SAMPLE.length]), SAMPLE, 25_000);
    expect(spans.length).toBe(6);
    expect(spans.every(({ kind }) => kind === "gzip")).toBe(true);
  });

  it("finds nothing in a stream without output", () => {
    expect(pointsOf(gzipSync(Buffer.alloc(0)), 1000)).toEqual([]);
  });

  it("finds points from which each span can be unpacked alone (any bytes, members, settings and sizes)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(),
          size: fc.nat({ max: 60_000 }),
          cuts: fc.array(fc.nat({ max: 60_000 }), { maxLength: 3 }),
          spanBytes: fc.integer({ min: 1, max: 9000 }),
          options: fc.constantFrom(...GZIP_OPTIONS),
        }),
        async ({ seed, size, cuts, spanBytes, options }) => {
          const tar = sampleBytes(size, seed);
          const own = gzipSync(tar.subarray(0, 2000), options);
          const blob = Buffer.concat([
            own,
            membersOf(
              tar.subarray(2000),
              cuts.map((cut) => cut % (size + 1)),
            ),
          ]);
          await expectEachSpan(blob, tar, Math.max(spanBytes, size / 50));
        },
      ),
      { numRuns: Number(process.env["LAMELLA_PLAIN_RUNS"] ?? 40) },
    );
  });

  it("finds the same points whatever the chunks are", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.constantFrom(...GZIP_OPTIONS), (chunkBytes, options) => {
        const blob = membersOf(SAMPLE.subarray(0, 40_000), [100, 20_000]);
        const other = Buffer.concat([blob, gzipSync(SAMPLE.subarray(0, 40_000), options)]);
        expect(pointsOf(other, 5000, chunkBytes)).toEqual(pointsOf(other, 5000));
      }),
      { numRuns: 40 },
    );
  });

  it.each(["gzip", "pigz -b 32", "pigz -i -b 32", "pigz -11"])(
    "follows what %s makes, if it is installed",
    async (command) => {
      const [program = "", ...settings] = command.split(" ");
      const tar = SAMPLE.subarray(0, 80_000);
      const made = spawnSync(program, [...settings, "-c"], { input: tar });
      if (made.status === 0) await expectEachSpan(made.stdout, tar, 10_000);
    },
  );

  it("refuses a stream that ends early, wherever", () => {
    const blob = memberWithFields(SAMPLE.subarray(0, 1000));
    for (let length = 0; length < blob.length; length++)
      expect(() => pointsOf(blob.subarray(0, length), 500)).toThrow(LayerFormatError);
  });

  it("refuses garbage or follows it, and does nothing else", () => {
    const blob = gzipSync(SAMPLE.subarray(0, 20_000));
    fc.assert(
      fc.property(fc.nat({ max: blob.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = Buffer.from(blob);
        damaged[at]! ^= change;
        try {
          pointsOf(damaged, 500);
        } catch (error) {
          expect(error).toMatchObject({ name: "LayerFormatError", code: "compression_invalid" });
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("deflatePrefix()", () => {
  it("leads to each bit of a byte, also between two blocks", async () => {
    const stored = Buffer.from([1, 4, 0, 0xfb, 0xff, 1, 2, 3, 4]);
    for (let bit = 0; bit < 8; bit++) {
      const bytes = joinPrefix(deflatePrefix(bit, undefined), bit, shifted(stored, bit));
      const span = { kind: "deflate", length: 4, prefix: new Uint8Array(), bit: 0, window: new Uint8Array() };
      expect([...(await inflateSpan(span as Span, bytes))]).toEqual([1, 2, 3, 4]);
    }
  });
});

/** A stored block whose header begins at a later bit: what it holds stands at the next byte. */
function shifted(block: Uint8Array, bit: number): Uint8Array {
  const header = Buffer.from([0xff & (block[0]! << bit), ...(bit > 5 ? [0] : [])]);
  return Buffer.concat([header, block.subarray(1)]);
}
