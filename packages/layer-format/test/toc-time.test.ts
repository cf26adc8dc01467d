import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { formatTocTime, parseTocTime } from "../src/toc/time.js";

describe("formatTocTime()", () => {
  it.each([
    [{ seconds: 0, nanoseconds: 0 }, "1970-01-01T00:00:00Z"],
    [{ seconds: -1, nanoseconds: 500_000_000 }, "1969-12-31T23:59:59.5Z"],
    [{ seconds: 951_782_400, nanoseconds: 0 }, "2000-02-29T00:00:00Z"],
    [{ seconds: 253_402_300_800, nanoseconds: 1 }, "10000-01-01T00:00:00.000000001Z"],
  ])("gives %o as %s", (time, text) => {
    expect(formatTocTime(time)).toBe(text);
  });

  it("agrees with the platform wherever that knows the year", () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }), (seconds) => {
        expect(formatTocTime({ seconds, nanoseconds: 0 })).toBe(
          new Date(seconds * 1000).toISOString().replace(".000", ""),
        );
      }),
    );
  });
});

describe("parseTocTime()", () => {
  it("reads what formatTocTime() gives, at any time", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.integer({ min: 0, max: 999_999_999 }), (seconds, nanoseconds) => {
        // never -0
        const time = { seconds: Math.trunc(seconds / 2) + 0, nanoseconds };
        expect(parseTocTime(formatTocTime(time))).toEqual(time);
      }),
    );
  });

  it("takes zones into account", () => {
    expect(parseTocTime("2024-01-01T02:30:00+02:30")).toEqual(parseTocTime("2024-01-01T00:00:00Z"));
    expect(parseTocTime("2023-12-31T22:00:00-02:00")).toEqual(parseTocTime("2024-01-01T00:00:00Z"));
  });

  it.each(["", "2024-01-01", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01 00:00:00Z", "1704067200"])(
    "refuses %o",
    (text) => {
      expect(parseTocTime(text)).toBeUndefined();
    },
  );
});
