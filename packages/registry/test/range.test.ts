import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { parseContentRange, parseRanges } from "../src/range.js";

const size = fc.integer({ min: 0, max: 1 << 20 });

describe("parseRanges()", () => {
  it("gives ascending parts of the blob, nothing or range_invalid for any header", () => {
    const ranges = fc.stringMatching(/^bytes=\d{0,20}-\d{0,20}(, ?\d{0,4}-\d{0,4}){0,3}$/);
    fc.assert(
      fc.property(fc.oneof(fc.string(), ranges), size, (text, sizeBytes) => {
        try {
          let end = 0;
          for (const range of parseRanges(text, sizeBytes) ?? []) {
            expect(range.length).toBeGreaterThan(0);
            expect(range.offset).toBeGreaterThanOrEqual(end);
            end = range.offset + range.length;
          }
          expect(end).toBeLessThanOrEqual(sizeBytes);
        } catch (error) {
          expect(error).toMatchObject({ code: "range_invalid" });
        }
      }),
    );
  });

  it("gives what was asked for inside a blob", () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1, max: 1000 }), (offset, length) => {
        expect(parseRanges(`bytes=${offset}-${offset + length - 1}`, 5000)).toEqual([{ offset, length }]);
        expect(parseRanges(`bytes=${offset}-`, offset + length)).toEqual([{ offset, length }]);
        expect(parseRanges(`bytes=-${length}`, offset + length)).toEqual([{ offset, length }]);
        expect(parseRanges(`bytes=${offset}-${offset + length - 1}, 3000-,9999-`, 5000)).toEqual([
          { offset, length },
          { offset: 3000, length: 2000 },
        ]);
      }),
    );
  });

  it("gives nothing without a header, and for what may be ignored", () => {
    expect(parseRanges(undefined, 5)).toBeUndefined();
    const many = (count: number): string =>
      `bytes=${Array.from({ length: count }, (_, at) => `${2 * at}-${2 * at}`).join(",")}`;
    expect(parseRanges(many(32), 100)).toHaveLength(32);
    const ignored = [
      "",
      "bytes=",
      "bytes=-",
      "lines=0-1",
      "bytes=0-1,,3-4",
      "bytes=0-5,5-6",
      "bytes=5-6,0-1",
      "bytes=0-,0-",
    ];
    for (const header of [...ignored, many(33)]) expect(parseRanges(header, 100), header).toBeUndefined();
  });

  it("refuses ranges of which none is inside of the blob", () => {
    for (const header of ["bytes=100-", "bytes=100-200,300-400", "bytes=5-4", "bytes=-0"]) {
      expect(() => parseRanges(header, 100), header).toThrow(expect.objectContaining({ code: "range_invalid" }));
    }
  });
});

describe("parseContentRange()", () => {
  it("reads what the specification writes", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 1 << 30 }), (offset, length) => {
        expect(parseContentRange(`${offset}-${offset + length - 1}`)).toEqual({ offset, length });
      }),
    );
  });

  it("gives a range or range_invalid for any text", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(parseContentRange(text).length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toMatchObject({ code: "range_invalid" });
        }
      }),
    );
  });
});
