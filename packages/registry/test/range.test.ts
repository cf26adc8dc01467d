import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { parseContentRange, parseRange } from "../src/range.js";

const size = fc.integer({ min: 0, max: 1 << 20 });

describe("parseRange()", () => {
  it("gives a part of the blob, nothing or range_invalid for any header", () => {
    const header = fc.oneof(fc.string(), fc.stringMatching(/^bytes=\d{0,20}-\d{0,20}$/));
    fc.assert(
      fc.property(header, size, (text, sizeBytes) => {
        try {
          const range = parseRange(text, sizeBytes);
          if (range === undefined) return;
          expect(range.length).toBeGreaterThan(0);
          expect(range.offset).toBeGreaterThanOrEqual(0);
          expect(range.offset + range.length).toBeLessThanOrEqual(sizeBytes);
        } catch (error) {
          expect(error).toMatchObject({ code: "range_invalid" });
        }
      }),
    );
  });

  it("gives what was asked for inside a blob", () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1, max: 1000 }), (offset, length) => {
        expect(parseRange(`bytes=${offset}-${offset + length - 1}`, 5000)).toEqual({ offset, length });
        expect(parseRange(`bytes=${offset}-`, offset + length)).toEqual({ offset, length });
        expect(parseRange(`bytes=-${length}`, offset + length)).toEqual({ offset, length });
      }),
    );
  });

  it("gives nothing without a header", () => {
    expect(parseRange(undefined, 5)).toBeUndefined();
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
