import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createAllocator } from "../src/ext4/allocator.js";
import type { BlockRange } from "../src/ext4/extents.js";
import { layOutGroups, leastBlockCount } from "../src/ext4/geometry.js";
import type { Geometry } from "../src/ext4/geometry.js";

/** Sizes from one group to many, most often around a group's border, with up to an inode a block. */
const usable = fc
  .record({
    groups: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 1, max: 40 }) },
      { weight: 1, arbitrary: fc.integer({ min: 40, max: 1000 }) },
    ),
    over: fc.oneof(fc.integer({ min: 0, max: 32_767 }), fc.integer({ min: 0, max: 3000 })),
    inodesPerBlock: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ groups, over, inodesPerBlock }) => {
    const blockCount = groups * 32_768 + over;
    const inodeCount = Math.max(16, Math.floor(blockCount * inodesPerBlock));
    return { geometry: layOutGroups(blockCount, inodeCount), inodeCount };
  })
  .filter(({ geometry, inodeCount }) => leastBlockCount(geometry, inodeCount) <= geometry.blockCount);

function endOf({ start, length }: BlockRange): number {
  return start + length;
}

function tableRanges(geometry: Geometry): BlockRange[] {
  const head = 1 + geometry.descriptorBlocks + geometry.reservedDescriptorBlocks;
  const ranges = geometry.superblockGroups.map((group) => ({ start: group * 32_768, length: head }));
  for (let group = 0; group < geometry.groupCount; group++) {
    ranges.push({ start: geometry.blockBitmaps[group]!, length: 1 });
    ranges.push({ start: geometry.inodeBitmaps[group]!, length: 1 });
    ranges.push({ start: geometry.inodeTables[group]!, length: geometry.inodeTableBlocks });
  }
  return ranges.sort((left, right) => left.start - right.start);
}

describe("layOutGroups()", () => {
  it("places everything once and within the disk", () => {
    fc.assert(
      fc.property(usable, ({ geometry, inodeCount }) => {
        const ranges = tableRanges(geometry);
        const overlapping = ranges.filter(({ start }, index) => index > 0 && start < endOf(ranges[index - 1]!));
        expect(overlapping).toEqual([]);
        expect(endOf(ranges.at(-1)!)).toBeLessThanOrEqual(geometry.blockCount);
        expect(geometry.groupCount * geometry.inodesPerGroup).toBeGreaterThanOrEqual(inodeCount);
        expect(geometry.inodesPerGroup).toBeLessThanOrEqual(32_768);
        expect(geometry.inodesPerGroup % 16).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it("reserves exactly what it places", () => {
    fc.assert(
      fc.property(usable, ({ geometry }) => {
        const placed = tableRanges(geometry).reduce((sum, { length }) => sum + length, 0);
        expect(geometry.reservedBlockCount).toBe(placed);
        const { reserved } = geometry;
        const touching = reserved.filter(({ start }, index) => index > 0 && start <= endOf(reserved[index - 1]!));
        expect(touching).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  it("marks the groups in which tables lie", () => {
    fc.assert(
      fc.property(usable, ({ geometry }) => {
        const marked = new Uint8Array(geometry.groupCount);
        for (let group = 0; group < geometry.groupCount; group++) {
          const table = geometry.inodeTables[group]!;
          const touched = [
            geometry.blockBitmaps[group]!,
            geometry.inodeBitmaps[group]!,
            table,
            table + geometry.inodeTableBlocks - 1,
          ];
          for (const block of touched) marked[Math.floor(block / 32_768)] = 1;
        }
        expect(geometry.holdsTables).toEqual(marked);
      }),
      { numRuns: 100 },
    );
  });

  it("copies the superblock to groups 1 and the powers of 3, 5 and 7", () => {
    expect(layOutGroups(32_768 * 130, 16).superblockGroups).toEqual([0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
  });

  it.each([
    ["1 MiB", 256, 0],
    ["1 GiB", 262_144, 127],
    ["100 GiB", 26_214_400, 1024],
    ["16 TiB", 2 ** 32, 0],
  ])("reserves room to grow as mke2fs does on %s", (_, blockCount, reserved) => {
    expect(layOutGroups(blockCount, 1024).reservedDescriptorBlocks).toBe(reserved);
  });
});

describe("createAllocator()", () => {
  it("gives out every block that is not reserved, in order, and then refuses", () => {
    fc.assert(
      fc.property(usable, fc.integer({ min: 2, max: 300 }), ({ geometry }, takes) => {
        const allocator = createAllocator(geometry);
        const free = geometry.blockCount - geometry.reservedBlockCount;
        const step = Math.ceil(free / takes);
        const taken: BlockRange[] = [];
        for (let left = free; left > 0; left -= step) taken.push(...allocator.take(Math.min(step, left)));
        expect(taken.reduce((sum, { length }) => sum + length, 0)).toBe(free);
        const all = [...taken, ...geometry.reserved].sort((left, right) => left.start - right.start);
        expect(all.filter(({ start }, index) => start !== (index === 0 ? 0 : endOf(all[index - 1]!)))).toEqual([]);
        expect(taken.filter(({ start }, index) => index > 0 && start < endOf(taken[index - 1]!))).toEqual([]);
        expect(() => allocator.take(1)).toThrow(RangeError);
      }),
      { numRuns: 30 },
    );
  });
});
