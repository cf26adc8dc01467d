import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { countExtentBlocks, dataRanges, writeExtentBlock, writeExtentRoot } from "../src/ext4/extents.js";
import type { MappedExtent } from "../src/ext4/extents.js";
import { createScratch } from "../src/ext4/scratch.js";
import type { Scratch } from "../src/ext4/scratch.js";

const FIRST_NODE_BLOCK = 5000;

/** Writes a whole tree and reads its leaves back, from left to right. */
function throughTree(extents: readonly MappedExtent[]): { depth: number; read: MappedExtent[] } {
  const blocks = Array.from({ length: countExtentBlocks(extents.length) }, (_, index) => FIRST_NODE_BLOCK + index);
  const root = createScratch(60);
  writeExtentRoot(root.view, 0, extents, blocks);
  const nodes = blocks.map((_, index) => {
    const node = createScratch(4096);
    writeExtentBlock(node, 0, index, { extents, blocks, inodeNumber: 12, seed: 1 });
    return node;
  });
  const read: MappedExtent[] = [];
  const visited = new Set<number>();
  visit(root);
  expect(visited.size).toBe(nodes.length);
  return { depth: root.view.getUint16(6, true), read };

  function visit({ view }: Scratch): void {
    const depth = view.getUint16(6, true);
    for (let entry = 12; entry < 12 + 12 * view.getUint16(2, true); entry += 12) {
      const logical = view.getUint32(entry, true);
      if (depth === 0) {
        read.push({ logical, physical: view.getUint32(entry + 8, true), length: view.getUint16(entry + 4, true) });
        continue;
      }
      const index = view.getUint32(entry + 4, true) - FIRST_NODE_BLOCK;
      visited.add(index);
      const child = nodes[index]!;
      if (child.view.getUint16(6, true) !== depth - 1) throw new Error(`node ${index} has the wrong depth`);
      if (child.view.getUint32(12, true) !== logical)
        throw new Error(`node ${index} begins elsewhere than its index says`);
      visit(child);
    }
  }
}

function isSame(left: MappedExtent, right: MappedExtent): boolean {
  return left.logical === right.logical && left.physical === right.physical && left.length === right.length;
}

describe("writeExtentRoot() and writeExtentBlock()", () => {
  it.each([
    [0, 0],
    [4, 0],
    [5, 1],
    [4 * 340, 1],
    [4 * 340 + 1, 2],
    [4 * 340 * 340, 2],
    [4 * 340 * 340 + 1, 3],
  ])("keep %i extents in a tree of depth %i", (count, depth) => {
    const extents = Array.from({ length: count }, (_, index) => ({
      logical: index * 3 + 7,
      physical: index * 2 + 1,
      length: 2,
    }));
    const tree = throughTree(extents);
    expect(tree.depth).toBe(depth);
    expect(tree.read.length).toBe(count);
    expect(tree.read.filter((extent, index) => !isSame(extent, extents[index]!))).toEqual([]);
  });
});

describe("dataRanges()", () => {
  const SIZE = 200_000;
  const sparse = fc
    .uniqueArray(fc.nat(SIZE), { maxLength: 30 })
    .map((points) => points.sort((left, right) => left - right))
    .map((points) =>
      Array.from({ length: points.length >> 1 }, (_, index) => ({
        offset: points[2 * index]!,
        length: points[2 * index + 1]! - points[2 * index]!,
      })),
    );

  it("covers exactly the blocks in which data lies, apart from each other", () => {
    fc.assert(
      fc.property(sparse, (extents) => {
        const expected = new Set<number>();
        for (const { offset, length } of extents) {
          for (let at = offset; at < offset + length; at++) expected.add(Math.floor(at / 4096));
        }
        const covered: number[] = [];
        let end = -1;
        for (const { start, length } of dataRanges({ size: SIZE, extents } as never)) {
          expect(start).toBeGreaterThan(end);
          end = start + length;
          for (let block = start; block < end; block++) covered.push(block);
        }
        expect(covered).toEqual([...expected].sort((left, right) => left - right));
      }),
    );
  });
});
