import { bytesToByteString } from "@lamella/layer-format";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { decodeImagePath, encodeImagePath } from "../src/api/image-path.js";

describe("encodeImagePath()", () => {
  it("is undone by decodeImagePath(), whatever the bytes are", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      // a lone surrogate is encoded as U+FFFD
      fc.integer({ min: 0, max: 0x10ffff }).map((code) => new TextEncoder().encode(String.fromCodePoint(code))),
      fc.constantFrom("%", "%25", "%zz", "\uFEFF").map((text) => new TextEncoder().encode(text)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 5 }), (pieces) => {
        const path = bytesToByteString(Buffer.concat(pieces));
        const text = encodeImagePath(path);
        expect(decodeImagePath(text)).toBe(path);
        // it goes through a URL and comes back
        expect(new URL(`http://h/?path=${encodeURIComponent(text)}`).searchParams.get("path")).toBe(text);
      }),
    );
  });

  it("leaves text as it is, but for the percent sign", () => {
    expect(encodeImagePath(bytesToByteString(Buffer.from("é/日本/100%")))).toBe("é/日本/100%25");
    expect(encodeImagePath("\xff\xc3/a")).toBe("%FF%C3/a");
  });

  it("takes little time for bytes that are no text at all", () => {
    const name = "\xff".repeat(255);
    const started = performance.now();
    for (let count = 0; count < 1000; count++) encodeImagePath(name);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe("decodeImagePath()", () => {
  it("refuses a percent sign that says no byte", () => {
    for (const text of ["%", "a%2", "%zz", "100%"])
      expect(() => decodeImagePath(text), text).toThrow(expect.objectContaining({ code: "invalid_request" }));
  });
});
