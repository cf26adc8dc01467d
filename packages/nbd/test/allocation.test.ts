import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createAllocation } from "../src/allocation.js";
import type { BlockSource } from "../src/index.js";

const SIZE = 200_000;

function sourceOf(segments: NonNullable<BlockSource["segments"]>, sizeBytes = SIZE): BlockSource {
  return { sizeBytes, segments, async *read() {} };
}

const segmentLists = fc
  .array(fc.tuple(fc.nat(20_000), fc.nat(9000)), { maxLength: 12 })
  .map((gaps) => {
    let end = 0;
    return gaps.map(([gap, length]) => {
      const offset = end + gap;
      end = offset + length;
      return { offset, length };
    });
  })
  .map((segments) => segments.filter(({ offset, length }) => offset + length <= SIZE));

describe("createAllocation()", () => {
  it("covers any range by turns, and no byte of a segment is in a hole", () => {
    fc.assert(
      fc.property(segmentLists, fc.nat(SIZE), fc.nat(SIZE), (segments, one, other) => {
        const start = Math.min(one, other);
        const end = Math.max(one, other);
        const extents = [...createAllocation(sourceOf(segments)).extents(start, end - start)];
        let position = start;
        for (const [index, extent] of extents.entries()) {
          expect(extent.offset).toBe(position);
          expect(extent.length).toBeGreaterThan(0);
          if (index > 0) expect(extent.hole).toBe(!extents[index - 1]!.hole);
          position += extent.length;
        }
        expect(position).toBe(end);
        for (const hole of extents.filter(({ hole }) => hole))
          for (const { offset, length } of segments)
            expect(offset + length <= hole.offset || offset >= hole.offset + hole.length || length === 0).toBe(true);
      }),
    );
  });

  it("gives a hole for every whole block of 4 KiB without a segment", () => {
    fc.assert(
      fc.property(segmentLists, (segments) => {
        const extents = [...createAllocation(sourceOf(segments)).extents(0, SIZE)];
        const holes = extents.filter(({ hole }) => hole).reduce((sum, { length }) => sum + length, 0);
        let free = 0;
        for (let block = 0; block < SIZE; block += 4096) {
          const end = Math.min(block + 4096, SIZE);
          const used = segments.some(({ offset, length }) => length > 0 && offset < end && offset + length > block);
          if (!used) free += end - block;
        }
        expect(holes).toBe(free);
      }),
    );
  });

  it("without segments all is data", () => {
    const allocation = createAllocation({ sizeBytes: SIZE, async *read() {} });
    expect([...allocation.extents(5, 10_000)]).toEqual([{ offset: 5, length: 10_000, hole: false }]);
  });

  it.each([
    [
      "overlapping",
      [
        { offset: 0, length: 10 },
        { offset: 9, length: 10 },
      ],
    ],
    [
      "descending",
      [
        { offset: 100, length: 10 },
        { offset: 0, length: 10 },
      ],
    ],
    ["beyond the end", [{ offset: SIZE - 5, length: 10 }]],
    ["of a negative length", [{ offset: 5, length: -1 }]],
    ["of no number", [{ offset: Number.NaN, length: 10 }]],
  ])("refuses segments that are %s", (_, segments) => {
    expect(() => createAllocation(sourceOf(segments))).toThrow(expect.objectContaining({ code: "option_invalid" }));
  });
});
