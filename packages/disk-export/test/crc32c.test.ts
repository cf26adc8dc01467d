import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { crc32c } from "../src/crc32c.js";

describe("crc32c()", () => {
  // RFC 3720, appendix B.4, whose sums are inverted at both ends.
  it.each([
    ["32 zeros", new Uint8Array(32), 0x8a9136aa],
    ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ["32 rising bytes", Uint8Array.from({ length: 32 }, (_, index) => index), 0x46dd794e],
    ["the nine digits", new TextEncoder().encode("123456789"), 0xe3069283],
  ])("agrees with the standard's sum of %s", (_what, bytes, expected) => {
    expect(~crc32c(0xffffffff, bytes) >>> 0).toBe(expected);
  });

  it("gives the same sum however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.uint8Array({ maxLength: 100 }), fc.nat(100), (seed, bytes, at) => {
        const cut = Math.min(at, bytes.length);
        const pieces = crc32c(crc32c(seed, bytes, 0, cut), bytes, cut);
        expect(pieces).toBe(crc32c(seed, bytes));
        expect(pieces).toBe(crc32c(crc32c(seed, bytes.subarray(0, cut)), bytes.subarray(cut)));
      }),
    );
  });
});
