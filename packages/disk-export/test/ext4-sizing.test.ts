import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { DiskExportError } from "../src/errors.js";
import { createAllocator } from "../src/ext4/allocator.js";
import { fitGeometry, kernelReserve } from "../src/ext4/sizing.js";
import type { Demand } from "../src/ext4/sizing.js";

const BLOCK = 4096;

/** A demand with as many blocks of extents on every geometry. */
interface SteadyDemand extends Demand {
  readonly extentBlocks: number;
}

function demandOf(numbers: { blocks: number; extentBlocks: number; inodes: number }): SteadyDemand {
  const { blocks, extentBlocks } = numbers;
  return { ...numbers, blocksOn: (_, journalBlocks) => blocks + extentBlocks + journalBlocks };
}

const demandNumbers = fc.record({
  blocks: fc.oneof(
    fc.integer({ min: 5, max: 2000 }),
    fc.integer({ min: 30_000, max: 40_000 }),
    fc.integer({ min: 5, max: 3_000_000 }),
  ),
  extentBlocks: fc.nat(1000),
  inodes: fc.oneof(fc.integer({ min: 11, max: 200 }), fc.integer({ min: 11, max: 300_000 })),
});

const demands: fc.Arbitrary<SteadyDemand> = demandNumbers.map(demandOf);

/** No more inodes than blocks: then what fills the disk is the contents. */
const treeLike = demands.filter(({ blocks, inodes }) => inodes < blocks);

function smallestSize(demand: Demand): number {
  return fitGeometry(demand, {}).diskBlocks * BLOCK;
}

function freeFor(demand: SteadyDemand, sizing: Parameters<typeof fitGeometry>[1]): number {
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
    const { geometry } = fitGeometry(demandOf({ blocks: 5, extentBlocks: 0, inodes: 12 }), { sizeBytes: 2 ** 30 });
    expect(geometry.groupCount * geometry.inodesPerGroup).toBeGreaterThanOrEqual(2 ** 30 / 16_384);
  });

  it("gives inodes for what is free even where small files used up the usual number", () => {
    const demand = demandOf({ blocks: 100_000, extentBlocks: 0, inodes: 100_000 });
    const { geometry } = fitGeometry(demand, { freeBytes: 2 ** 30 });
    expect(geometry.groupCount * geometry.inodesPerGroup).toBeGreaterThanOrEqual(100_000 + 2 ** 30 / 16_384);
  });

  it("drops a last group that is too small for its own tables, as mke2fs does", () => {
    const { geometry, diskBlocks } = fitGeometry(demandOf({ blocks: 5, extentBlocks: 0, inodes: 12 }), {
      sizeBytes: (32_768 + 20) * BLOCK,
    });
    expect(diskBlocks).toBe(32_768 + 20);
    expect(geometry.blockCount).toBe(32_768);
  });

  it("takes 16 TiB and refuses what needs more", () => {
    expect(
      fitGeometry(demandOf({ blocks: 5, extentBlocks: 0, inodes: 12 }), { sizeBytes: 2 ** 44 }).geometry.blockCount,
    ).toBe(2 ** 32);
    const tooLarge = demandOf({ blocks: 2 ** 32 - 100, extentBlocks: 0, inodes: 12 });
    expect(() => fitGeometry(tooLarge, {})).toThrow(expect.objectContaining({ code: "unsupported" }));
  });

  it.each([0, 4096, 100_000])("refuses %i bytes for an empty tree", (sizeBytes) => {
    const refused = (): unknown => fitGeometry(demandOf({ blocks: 5, extentBlocks: 0, inodes: 11 }), { sizeBytes });
    expect(refused).toThrow(expect.objectContaining({ code: "size_too_small" }));
  });

  it("refuses one block less than the smallest disk has", () => {
    fc.assert(
      fc.property(demands, (demand) => {
        const sizeBytes = smallestSize(demand) - BLOCK;
        expect(() => fitGeometry(demand, { sizeBytes })).toThrow(expect.objectContaining({ code: "size_too_small" }));
      }),
    );
  });

  it.each([
    [2047, "usual", 0],
    [2047, "always", 1024],
    [2048, "usual", 1024],
    [32_768, "usual", 4096],
    [2 ** 18, "usual", 8192],
    [2 ** 19, "usual", 16_384],
    [2 ** 22, "usual", 32_768],
    [2 ** 23, "usual", 65_536],
    [2 ** 24, "usual", 131_072],
    [2 ** 25, "usual", 262_144],
    [2 ** 25, "never", 0],
  ] as const)("gives a disk of %i blocks a journal as mke2fs does (%s): %i blocks", (blocks, journal, expected) => {
    const demand = demandOf({ blocks: 5, extentBlocks: 0, inodes: 12 });
    expect(fitGeometry(demand, { sizeBytes: blocks * BLOCK, journal }).journalBlocks).toBe(expected);
  });

  it("says how large the journal is where the size is too small with one", () => {
    const demand = demandOf({ blocks: 5, extentBlocks: 0, inodes: 12 });
    const refused = (): unknown => fitGeometry(demand, { sizeBytes: 2 ** 20, journal: "always" });
    expect(refused).toThrow(/needs \d+ bytes with a journal of 4194304, the size is 1048576/);
  });

  it("gives as many inodes as are asked for, rounded up to whole tables", () => {
    const demand = demandOf({ blocks: 5, extentBlocks: 0, inodes: 12 });
    const { geometry } = fitGeometry(demand, { sizeBytes: 2 ** 30, inodes: 5000 });
    expect(geometry.groupCount * geometry.inodesPerGroup).toBe(5120);
  });

  it("refuses fewer inodes than the tree needs, and says how many it does", () => {
    const demand = demandOf({ blocks: 5, extentBlocks: 0, inodes: 12 });
    expect(() => fitGeometry(demand, { inodes: 11 })).toThrow("cannot plan ext4 with 11 inodes: the tree needs 12");
  });

  it("leaves what was asked for free beside what is root's", () => {
    const demand = demandOf({ blocks: 5, extentBlocks: 0, inodes: 12 });
    const { geometry, rootBlocks } = fitGeometry(demand, { freeBytes: 2 ** 30, reservedPercent: 5 });
    expect(rootBlocks).toBe(Math.floor(geometry.blockCount / 20));
    const free =
      geometry.blockCount - geometry.reservedBlockCount - 5 - kernelReserve(geometry.blockCount) - rootBlocks;
    expect(free * BLOCK).toBeGreaterThanOrEqual(2 ** 30);
  });

  it.each([
    { inodes: -1 },
    { inodes: 1.5 },
    { inodes: 2 ** 32 },
    { reservedPercent: -1 },
    { reservedPercent: 51 },
    { reservedPercent: NaN },
  ])("refuses %o", (sizing) => {
    const demand = demandOf({ blocks: 5, extentBlocks: 0, inodes: 12 });
    expect(() => fitGeometry(demand, sizing)).toThrow(expect.objectContaining({ code: "option_invalid" }));
  });
});
