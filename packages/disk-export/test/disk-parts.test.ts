import { memoryTree } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { diskParts } from "../src/disk-parts.js";
import type { Segment } from "../src/disk-plan.js";
import { createDiskPlan } from "../src/plan-reader.js";
import { collect } from "./bytes.js";

const MIB = 1 << 20;

/** Gaps and lengths around 64 KiB, where a hole is worth skipping, and around the 1 MiB of a part. */
const runs = fc.array(
  fc.record({
    gap: fc.oneof(fc.nat(100), fc.integer({ min: 65_530, max: 65_540 }), fc.nat(3 * MIB)),
    length: fc.oneof(
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: MIB - 2, max: MIB + 2 }),
      fc.integer({ min: 1, max: 3 * MIB }),
    ),
  }),
  { maxLength: 5 },
);

describe("diskParts()", () => {
  it("gives the whole disk in order, in parts of 1 MiB, and only true holes as holes", async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.nat(2 * MIB), async (described, end) => {
        const segments: Segment[] = [];
        let size = 0;
        for (const [index, { gap, length }] of described.entries()) {
          segments.push({ offset: size + gap, length, bytes: () => new Uint8Array(length).fill(index + 1) });
          size += gap + length;
        }
        size += end;
        const plan = createDiskPlan({ format: "erofs", sizeBytes: size, segments, losses: [], tree: memoryTree([]) });
        const whole = await collect(plan.read(0, size));

        let position = 0;
        let previousWasShort = false;
        for await (const { offset, length, bytes } of diskParts(plan)) {
          expect(offset).toBe(position);
          expect(length).toBeGreaterThan(0);
          expect(Buffer.compare(whole.subarray(offset, offset + length), bytes ?? new Uint8Array(length))).toBe(0);
          if (bytes !== undefined) expect(length <= MIB && !previousWasShort).toBe(true);
          previousWasShort = bytes !== undefined && length < MIB;
          position += length;
        }
        expect(position).toBe(size);
      }),
      { numRuns: 40 },
    );
  });

  it("keeps a part's bytes while the next part is asked for", async () => {
    const segments = [
      { offset: 0, length: 3 * MIB, bytes: () => Uint8Array.from({ length: 3 * MIB }, (_, index) => index >>> 20) },
    ];
    const plan = createDiskPlan({ format: "erofs", sizeBytes: 3 * MIB, segments, losses: [], tree: memoryTree([]) });
    const parts = diskParts(plan);
    const first = await parts.next();
    await parts.next();
    expect(new Set(first.value?.bytes)).toEqual(new Set([0]));
  });
});
