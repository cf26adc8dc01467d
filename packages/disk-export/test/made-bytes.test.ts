import { describe, expect, it } from "vitest";

import { createMadeBytes } from "../src/made-bytes.js";
import type { MadeSegment } from "../src/made-bytes.js";

function segments(...lengths: number[]): { list: MadeSegment[]; made: number[] } {
  const made: number[] = [];
  const list = lengths.map((length, index) => ({
    offset: 0,
    length,
    bytes: () => {
      made.push(index);
      return new Uint8Array(length).fill(index);
    },
  }));
  return { list, made };
}

describe("createMadeBytes()", () => {
  it("makes a segment once while it is asked for", () => {
    const { list, made } = segments(100, 100);
    const bytesOf = createMadeBytes(1000);
    for (const index of [0, 1, 0, 0, 1]) expect(bytesOf(list[index]!)).toEqual(new Uint8Array(100).fill(index));
    expect(made).toEqual([0, 1]);
  });

  it("forgets first what was asked for longest ago, and keeps no more than the limit", () => {
    const { list, made } = segments(400, 400, 400);
    const bytesOf = createMadeBytes(1000);
    for (const index of [0, 1, 0, 2, 0, 1]) bytesOf(list[index]!);
    expect(made).toEqual([0, 1, 2, 1]);
  });

  it("keeps none of a buffer that a segment shares with others but its own bytes", () => {
    const slab = new Uint8Array(65_536).fill(7);
    const bytesOf = createMadeBytes(1000);
    const segment = { offset: 0, length: 64, bytes: () => slab.subarray(128, 192) };
    expect(bytesOf(segment)).toEqual(slab.subarray(128, 192));
    expect(bytesOf(segment).buffer.byteLength).toBe(64);
  });

  it("keeps nothing that is over the limit, and the rest with it", () => {
    const { list, made } = segments(1001, 500);
    const bytesOf = createMadeBytes(1000);
    for (const index of [1, 0, 0, 1]) expect(bytesOf(list[index]!)).toHaveLength(list[index]!.length);
    expect(made).toEqual([1, 0, 0]);
  });
});
