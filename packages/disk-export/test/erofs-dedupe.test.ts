import type { FileTree } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { DiskPlan } from "../src/disk-plan.js";
import { writeDisk } from "../src/disk-writer.js";
import { planErofs } from "../src/erofs/plan.js";
import { openErofs } from "../src/erofs/reading/reader.js";
import { collect } from "./bytes.js";
import { readErofs } from "./erofs-reader.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";
import { listTree } from "./listing.js";
import { treeSpecs } from "./random-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { hasTool, runTool } from "./tools.js";

const BLOCK = 4096;

type Fill = (offset: number) => number;

/** No two blocks of it are equal, and none of two seeds. */
function noise(seed: number): Fill {
  return (at) => {
    const mixedUp = Math.imul(at + 1 + (seed << 24), 0x9e3779b1);
    return (Math.imul(mixedUp ^ (mixedUp >>> 15), 0x85ebca6b) >>> 13) & 0xff;
  };
}

function file(path: string, size: number, fill: Fill): MemoryTreeSpec[number] {
  return { path, content: { size, fill } };
}

/** A file of whole blocks: each number stands for what a block holds. */
function blockFile(path: string, blocks: readonly number[], tail = 0): MemoryTreeSpec[number] {
  return file(path, blocks.length * BLOCK + tail, (at) => noise(blocks[Math.floor(at / BLOCK)] ?? 99)(at % BLOCK));
}

async function dedupe(spec: MemoryTreeSpec): Promise<DiskPlan> {
  return planErofs(memoryTree(spec), { dedupe: true });
}

async function dataBlocks(spec: MemoryTreeSpec): Promise<number> {
  const { sizeBytes } = await dedupe(spec);
  const empty = spec.map((entry) => ({ path: entry.path, kind: "fifo" as const }));
  return (sizeBytes - (await planErofs(memoryTree(empty))).sizeBytes) / BLOCK;
}

async function roundTrip(spec: MemoryTreeSpec): Promise<void> {
  const plan = await dedupe(spec);
  const tree = memoryTree(spec);
  expect(readErofs(await collect(plan.read(0, plan.sizeBytes)))).toEqual(await listTree(tree));
  await using back = await openErofs(plan);
  expect(await listTree(back)).toEqual(await listTree(tree));
}

const fileOfAFewBlocks = fc.record({
  blocks: fc.array(fc.nat(6), { maxLength: 12 }),
  tail: fc.constantFrom(0, 0, 1, 700, 4095),
  hole: fc.option(fc.record({ start: fc.nat(40_000), length: fc.nat(20_000) }), { nil: undefined, freq: 3 }),
});

/** Files that have many blocks in common. */
const relatedFiles = fc.array(fileOfAFewBlocks, { maxLength: 12 }).map((files): MemoryTreeSpec =>
  files.map(({ blocks, tail, hole }, index) => {
    const described = blockFile(`f${index}`, blocks, tail);
    const size = blocks.length * BLOCK + tail;
    if (hole === undefined || hole.start + hole.length >= size) return described;
    const end = hole.start + hole.length;
    const extents = [
      { offset: 0, length: hole.start },
      { offset: end, length: size - end },
    ].filter(({ length }) => length > 0);
    return { ...described, extents };
  }),
);

describe("planErofs() with dedupe", () => {
  it("keeps any tree", () => fc.assert(fc.asyncProperty(treeSpecs, roundTrip), { numRuns: 25 }));

  it("keeps files that have blocks and holes in common", () =>
    fc.assert(fc.asyncProperty(relatedFiles, roundTrip), { numRuns: 60 }));

  it("is not larger than without, but for a block of tables at most", () =>
    fc.assert(
      fc.asyncProperty(relatedFiles, async (spec) => {
        const [plain, shared] = await Promise.all([planErofs(memoryTree(spec)), dedupe(spec)]);
        expect(shared.sizeBytes).toBeLessThanOrEqual(plain.sizeBytes + BLOCK);
      }),
      { numRuns: 60 },
    ));

  it("keeps equal files once", async () => {
    const copies = Array.from({ length: 20 }, (_, index) => file(`copy${index}`, 100_001, noise(1)));
    expect(await dataBlocks(copies)).toBe(25);
    await roundTrip(copies);
  });

  it("keeps equal blocks of different files once", async () => {
    const spec = [blockFile("a", [1, 2, 3, 4]), blockFile("b", [9, 2, 3, 4]), blockFile("c", [4, 4, 4, 4, 8])];
    expect(await dataBlocks(spec)).toBe(6);
    await roundTrip(spec);
  });

  it("leaves small equal files beside their inodes until they would fill a block", async () => {
    const copies = (count: number): MemoryTreeSpec =>
      Array.from({ length: count }, (_, index) => file(`copy${index}`, 1000, noise(1)));
    const flat = await planErofs(memoryTree(copies(4)));
    expect((await dedupe(copies(4))).sizeBytes).toBe(flat.sizeBytes);
    const many = copies(400);
    const plain = await planErofs(memoryTree(many));
    expect((await dedupe(many)).sizeBytes).toBeLessThan(plain.sizeBytes / 8);
    await roundTrip(many);
  });

  it("differs from a plain disk in nothing but the superblock where no two blocks are equal", async () => {
    const spec = [file("a", 50_000, noise(1)), file("b", 8192, noise(2)), file("c", 17, noise(3))];
    const plan = await dedupe(spec);
    const plain = await planErofs(memoryTree(spec));
    expect(plan.sizeBytes).toBe(plain.sizeBytes);
    const rest = plain.sizeBytes - BLOCK;
    expect(await collect(plan.read(BLOCK, rest))).toEqual(await collect(plain.read(BLOCK, rest)));
  });

  it("keeps a sparse file's holes, and tells of them in large chunks", async () => {
    const size = 20 * 2 ** 30;
    const extents = [
      { offset: 0, length: 5000 },
      { offset: 16 * 2 ** 30, length: 2 ** 20 },
    ];
    const tree = memoryTree([{ path: "sparse", content: { size, fill: noise(1) }, extents }]);
    await using plan = await planErofs(tree, { dedupe: true });
    expect(plan.sizeBytes).toBeLessThan(2 ** 20 + 24 * 2 ** 20);
    await using back = await openErofs(plan);
    const entry = (await back.lookup("sparse"))!;
    expect(entry.extents).toEqual([
      { offset: 0, length: 8192 },
      { offset: 16 * 2 ** 30, length: 2 ** 20 },
    ]);
    expect(await collect(back.read(entry, { offset: 16 * 2 ** 30 + 100, length: 5000 }))).toEqual(
      await collect(tree.read((await tree.lookup("sparse"))!, { offset: 16 * 2 ** 30 + 100, length: 5000 })),
    );
  });

  it("reads each file once, and not its holes", async () => {
    const extents = [{ offset: 2 ** 30, length: 10_000 }];
    const tree = memoryTree([
      file("a", 100_000, noise(1)),
      { path: "s", content: { size: 2 ** 31, fill: noise(1) }, extents },
    ]);
    let bytes = 0;
    const counted: FileTree = {
      ...tree,
      entries: (options) => tree.entries(options),
      lookup: (path, options) => tree.lookup(path, options),
      async *read(entry, options) {
        for await (const chunk of tree.read(entry, options)) {
          bytes += chunk.length;
          yield chunk;
        }
      },
    };
    const progress: [number, number][] = [];
    await planErofs(counted, { dedupe: true, onProgress: (done, total) => progress.push([done, total]) });
    expect(bytes).toBe(100_000 + 3 * BLOCK);
    expect(progress.at(0)).toEqual([0, bytes]);
    expect(progress.at(-1)).toEqual([bytes, bytes]);
    expect(progress.every(([done], index) => done >= (progress[index - 1]?.[0] ?? 0))).toBe(true);
  });

  it("gives the same disk again", async () => {
    const spec = [blockFile("a", [1, 2, 1, 2, 5]), blockFile("b", [5, 1, 2], 30), blockFile("c", [5, 1, 2], 30)];
    const [one, other] = await Promise.all([dedupe(spec), dedupe(spec)]);
    expect(await collect(one.read(0, one.sizeBytes))).toEqual(await collect(other.read(0, other.sizeBytes)));
  });

  it("needs Linux 5.15, and refuses an older one before it reads any file", async () => {
    const tree = handMadeTree([ROOT, { path: "f", size: 10 }], []);
    await expect(planErofs(tree, { dedupe: true, kernel: "5.10" })).rejects.toMatchObject({
      code: "unsupported",
      message: "cannot make a disk for Linux 5.10: it uses files in chunks, which needs 5.15",
    });
    expect((await dedupe([])).kernel).toBe("5.15");
  });

  it.each([{ compression: "lz4" as const }, { wholeBlocks: true }])("refuses %o beside it", async (other) => {
    await expect(planErofs(memoryTree([]), { dedupe: true, ...other })).rejects.toMatchObject({
      code: "option_invalid",
    });
  });

  it("refuses more than 128 GiB of files before it reads any", async () => {
    const tree = handMadeTree([ROOT, { path: "f", size: 2 ** 37 + 1 }], []);
    await expect(planErofs(tree, { dedupe: true })).rejects.toMatchObject({ code: "unsupported" });
  });

  it.each([
    ["more", 5000],
    ["fewer", 4000],
  ])("refuses a tree that gives %s bytes than a file has", async (_, length) => {
    const tree = handMadeTree([ROOT, { path: "f", size: 4500 }], [new Uint8Array(length)]);
    await expect(planErofs(tree, { dedupe: true })).rejects.toMatchObject({ code: "tree_invalid" });
  });

  it("stops where it is told to", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const tree = memoryTree([file("a", 10_000_000, noise(1))]);
    const planning = planErofs(tree, {
      dedupe: true,
      signal: controller.signal,
      onProgress: (done) => done > 0 && controller.abort(reason),
    });
    await expect(planning).rejects.toBe(reason);
  });
});

describe.skipIf(!hasTool("fsck.erofs"))("fsck.erofs [skipped without erofs-utils] with dedupe", () => {
  it("finds any disk clean, and extracts files as they were", async () => {
    const path = `${await temporaryDirectory()}/disk`;
    await fc.assert(
      fc.asyncProperty(relatedFiles, async (spec) => {
        await writeDisk(await dedupe(spec), path);
        expect(runTool("fsck.erofs", ["-d3", path]).output).toContain("No errors found");
        const { status, output } = runTool("fsck.erofs", ["--extract", path]);
        expect({ status, output }).toMatchObject({ status: 0 });
      }),
      { numRuns: 20 },
    );
  });
});
