import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { DiskExportError } from "../src/errors.js";
import { createAllocator } from "../src/ext4/allocator.js";
import { fitGeometry, kernelReserve } from "../src/ext4/sizing.js";
import type { Demand } from "../src/ext4/sizing.js";

const BLOCK = 4096;

const demands: fc.Arbitrary<Demand> = fc.record({
  blocks: fc.oneof(
    fc.integer({ min: 5, max: 2000 }),
    fc.integer({ min: 30_000, max: 40_000 }),
    fc.integer({ min: 5, max: 3_000_000 }),
  ),
  extentBlocks: fc.nat(1000),
  inodes: fc.oneof(fc.integer({ min: 11, max: 200 }), fc.integer({ min: 11, max: 300_000 })),
});

/** No more inodes than blocks: then what fills the disk is the contents. */
const treeLike = demands.filter(({ blocks, inodes }) => inodes < blocks);

function smallestSize(demand: Demand): number {
  return fitGeometry(demand, {}).diskBlocks * BLOCK;
}

function freeFor(demand: Demand, sizing: Parameters<typeof fitGeometry>[1]): number {
  const { geometry } = fitGeometry(demand, sizing);
  return geometry.blockCount - geometry.reservedBlockCount - demand.blocks - demand.extentBlocks;
}

describe("fitGeometry()", () => {
  it("gives a smallest disk that has room for the tree and its inodes", () => {
    fc.assert(
      fc.property(demands, (demand) => {
        const { geometry, diskBlocks } = fitGeometry(demand, {});
        expect(diskBlocks).toBe(geometry.blockCount);
        expect(geometry.groupCount * geometry.inodesPerGroup).toBeGreaterThanOrEqual(demand.inodes);
        expect(() => createAllocator(geometry).take(demand.blocks + demand.extentBlocks)).not.toThrow();
      }),
    );
  });

  it("leaves little free on the smallest disk", () => {
    fc.assert(
      fc.property(treeLike, (demand) => {
        expect(freeFor(demand, {})).toBeLessThan(2500);
      }),
    );
  });

  it("accepts the smallest disk's size, and names it where the size asked for is too small", () => {
    fc.assert(
      fc.property(demands, (demand) => {
        const needed = smallestSize(demand);
        expect(fitGeometry(demand, { sizeBytes: needed }).diskBlocks * BLOCK).toBe(needed);
        const sizeBytes = (demand.blocks + demand.extentBlocks) * BLOCK;
        const refused = (): unknown => fitGeometry(demand, { sizeBytes });
        expect(refused).toThrow(DiskExportError);
        expect(refused).toThrow(`the tree needs ${needed} bytes, the size is ${sizeBytes}`);
      }),
    );
  });

  it("accepts every size from the smallest on, and the disk is of exactly that many blocks", () => {
    fc.assert(
      fc.property(demands, fc.oneof(fc.nat(40_000), fc.nat(3_000_000)), fc.nat(4095), (demand, more, bytes) => {
        const sizeBytes = smallestSize(demand) + more * BLOCK;
        const { geometry, diskBlocks } = fitGeometry(demand, { sizeBytes: sizeBytes + bytes });
        expect(diskBlocks * BLOCK).toBe(sizeBytes);
        expect(geometry.blockCount).toBeLessThanOrEqual(diskBlocks);
        expect(diskBlocks - geometry.blockCount).toBeLessThan(6000);
        expect(geometry.reservedBlockCount + demand.blocks + demand.extentBlocks).toBeLessThanOrEqual(
          geometry.blockCount,
        );
      }),
    );
  });

  it("leaves what was asked for free beside what the kernel keeps back", () => {
    fc.assert(
      fc.property(treeLike, fc.integer({ min: 0, max: 10 * 2 ** 30 }), (demand, freeBytes) => {
        const { geometry } = fitGeometry(demand, { freeBytes });
        const free = freeFor(demand, { freeBytes }) - kernelReserve(geometry.blockCount);
        expect(free * BLOCK).toBeGreaterThanOrEqual(freeBytes);
        expect(free * BLOCK).toBeLessThan(freeBytes + 5000 * BLOCK);
      }),
    );
  });

  it("gives an inode for each 16 KiB where a size is given", () => {
    const { geometry } = fitGeometry({ blocks: 5, extentBlocks: 0, inodes: 12 }, { sizeBytes: 2 ** 30 });
    expect(geometry.groupCount * geometry.inodesPerGroup).toBeGreaterThanOrEqual(2 ** 30 / 16_384);
  });

  it("gives inodes for what is free even where small files used up the usual number", () => {
    const demand = { blocks: 100_000, extentBlocks: 0, inodes: 100_000 };
    const { geometry } = fitGeometry(demand, { freeBytes: 2 ** 30 });
    expect(geometry.groupCount * geometry.inodesPerGroup).toBeGreaterThanOrEqual(100_000 + 2 ** 30 / 16_384);
  });

  it("drops a last group that is too small for its own tables, as mke2fs does", () => {
    const { geometry, diskBlocks } = fitGeometry(
      { blocks: 5, extentBlocks: 0, inodes: 12 },
      { sizeBytes: (32_768 + 20) * BLOCK },
    );
    expect(diskBlocks).toBe(32_768 + 20);
    expect(geometry.blockCount).toBe(32_768);
  });

  it("takes 16 TiB and refuses what needs more", () => {
    expect(fitGeometry({ blocks: 5, extentBlocks: 0, inodes: 12 }, { sizeBytes: 2 ** 44 }).geometry.blockCount).toBe(
      2 ** 32,
    );
    const tooLarge = { blocks: 2 ** 32 - 100, extentBlocks: 0, inodes: 12 };
    expect(() => fitGeometry(tooLarge, {})).toThrow(expect.objectContaining({ code: "unsupported" }));
  });

  it.each([0, 4096, 100_000])("refuses %i bytes for an empty tree", (sizeBytes) => {
    const refused = (): unknown => fitGeometry({ blocks: 5, extentBlocks: 0, inodes: 11 }, { sizeBytes });
    expect(refused).toThrow(expect.objectContaining({ code: "size_too_small" }));
  });
});
