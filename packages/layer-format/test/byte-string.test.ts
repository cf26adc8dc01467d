import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

/** The module as it loads where Buffer is, and where it is not. */
async function load(withBuffer: boolean): Promise<typeof import("../src/byte-string.js")> {
  vi.resetModules();
  if (!withBuffer) vi.stubGlobal("Buffer", undefined);
  try {
    return await import("../src/byte-string.js");
  } finally {
    vi.unstubAllGlobals();
  }
}

describe.each([
  ["in Node", true],
  ["without Buffer", false],
])("byte strings %s", (_, withBuffer) => {
  it("keep every byte, each as one character", async () => {
    const { bytesToByteString, byteStringToBytes } = await load(withBuffer);
    const every = Uint8Array.from({ length: 256 }, (_unused, index) => index);
    expect(bytesToByteString(every)).toBe(Array.from(every, (byte) => String.fromCharCode(byte)).join(""));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect([...byteStringToBytes(bytesToByteString(bytes))]).toEqual([...bytes]);
      }),
    );
  });

  it("are made of a part of the bytes, of long ones and views too", async () => {
    const { sliceByteString } = await load(withBuffer);
    const bytes = Uint8Array.from({ length: 20_000 }, (_unused, index) => index % 251);
    const view = bytes.subarray(7);
    for (const [start, end] of [
      [0, 0],
      [3, 4],
      [100, 8292],
      [1, 19_993],
    ] as const) {
      const expected = Array.from(bytes.subarray(7 + start, 7 + end), (byte) => String.fromCharCode(byte)).join("");
      expect(sliceByteString(view, start, end)).toBe(expected);
    }
  });
});
