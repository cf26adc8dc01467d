import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { bytesToByteString, byteString, byteStringToBytes } from "../src/byte-string.js";
import { displayPath } from "../src/display-path.js";

describe("displayPath()", () => {
  it.each([
    ["usr/bin/[", "usr/bin/["],
    [byteString("café/日本/😀"), "café/日本/😀"],
    ["a\xff\xfe\x80b", "a\\xff\\xfe\\x80b"],
    ["a\nb\tc\rd", "a\\nb\\tc\\rd"],
    ["\x1b[31mred\x07", "\\x1b[31mred\\x07"],
    ["del\x7f", "del\\x7f"],
    [byteString("\u0085\u009b"), "\\u{85}\\u{9b}"],
    [byteString("a\u202Egpj.exe"), "a\\u{202e}gpj.exe"],
    [byteString("\u2066x\u2069\u200b\u{E0041}\ufeff"), "\\u{2066}x\\u{2069}\\u{200b}\\u{e0041}\\u{feff}"],
    [byteString("\u2028\u2029"), "\\u{2028}\\u{2029}"],
    ["\\xff", "\\\\xff"],
    // Overlong, a surrogate, beyond Unicode, cut off.
    ["\xc0\xaf", "\\xc0\\xaf"],
    ["\xed\xa0\x80", "\\xed\\xa0\\x80"],
    ["\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"],
    ["\xe2\x82", "\\xe2\\x82"],
    ["<script>", "<script>"],
  ])("shows %j as %j", (path, shown) => {
    expect(displayPath(path)).toBe(shown);
  });

  it("never lets a control or format character through", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(displayPath(bytesToByteString(bytes))).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
      }),
    );
  });

  it("shows different names differently", () => {
    const name = fc.uint8Array({ minLength: 1, maxLength: 4 }).map(bytesToByteString);
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(displayPath(a) === displayPath(b)).toBe(a === b);
      }),
    );
  });

  it("decodes valid UTF-8 and keeps what is printable", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        if (/[\\\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text)) return;
        expect(displayPath(byteString(text))).toBe(text);
      }),
    );
  });
});

describe("byte strings", () => {
  it("hold any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(byteStringToBytes(bytesToByteString(bytes))).toEqual(bytes);
      }),
    );
  });

  it("hold more bytes than a call takes arguments", () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, index) => index % 251);
    expect(Buffer.compare(byteStringToBytes(bytesToByteString(bytes)), bytes)).toBe(0);
  });

  it("sort as their bytes do", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(bytesToByteString(a) < bytesToByteString(b)).toBe(Buffer.compare(a, b) < 0);
      }),
    );
  });

  it("byteStringToBytes() refuses text that was never encoded", () => {
    expect(() => byteStringToBytes("日")).toThrow(RangeError);
  });
});
