import { describe, expect, it } from "vitest";

import { createZstdFrameReader } from "../src/index.js";
import { zstdCompressSync } from "./zstd-store.js";

const ignore = (): void => undefined;

describe("createZstdFrameReader()", () => {
  it("tells where each frame ends, skippable ones too, whatever the chunks are", () => {
    const skippable = Buffer.from("502a4d1803000000aabbcc", "hex");
    const parts = [skippable, zstdCompressSync(Buffer.alloc(70_000, 1)), zstdCompressSync(Buffer.alloc(0)), skippable];
    const stream = Buffer.concat(parts);
    const ends = parts.map((_, index) => Buffer.concat(parts.slice(0, index + 1)).length);
    for (const step of [1, 7, 65_536, stream.length]) {
      const found: number[] = [];
      const sink = { begin: ignore, block: ignore, endBlock: ignore, end: ignore };
      const reader = createZstdFrameReader({ ...sink, boundary: (offset) => void found.push(offset) }, 2 ** 20);
      for (let at = 0; at < stream.length; at += step) reader.push(stream.subarray(at, at + step));
      reader.end();
      expect(found).toEqual(ends);
    }
  });
});
