import { readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import type { FileTree } from "@lamella/layer-format";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { DiskPlan } from "../src/disk-plan.js";
import { planDisk } from "../src/disk-planner.js";
import { writeDisk } from "../src/disk-writer.js";
import { planErofs } from "../src/erofs/plan.js";
import { openErofs } from "../src/erofs/reading/reader.js";
import { planExt4 } from "../src/ext4/plan.js";
import { openExt4 } from "../src/ext4/reading/reader.js";
import { openDisk } from "../src/reading/open-disk.js";
import { collect } from "./bytes.js";
import { storable } from "./ext4-storable.js";
import { listTree } from "./listing.js";
import { treeSpecs } from "./random-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";

type Format = { plan: (tree: FileTree) => Promise<DiskPlan>; open: typeof openExt4 };

const formats: [string, Format][] = [
  ["ext4", { plan: (tree) => planExt4(tree), open: openExt4 }],
  ["plain EROFS", { plan: (tree) => planErofs(tree), open: openErofs }],
  ["LZ4 EROFS", { plan: (tree) => planErofs(tree, { compression: "lz4", threads: 1 }), open: openErofs }],
  ["deflate EROFS", { plan: (tree) => planErofs(tree, { compression: "deflate", threads: 1 }), open: openErofs }],
];

/** Noise and text, so that a compressed file has extents of every kind. */
function mixed(size: number): { size: number; fill: (at: number) => number } {
  const line = "what a file of text may say, again and again; ";
  return {
    size,
    fill: (at) => (at % 50_000 < 20_000 ? (Math.imul(at, 0x9e3779b1) >>> 11) & 0xff : line.charCodeAt(at % 46)),
  };
}

describe.each(formats)("a disk of %s, read back", (_, { plan: makePlan, open }) => {
  it("is the tree that it was made of", async () => {
    await fc.assert(
      fc.asyncProperty(treeSpecs.map(storable), async (spec) => {
        await using plan = await makePlan(memoryTree(spec));
        await using tree = await open(plan);
        expect(await listTree(tree)).toEqual(await listTree(memoryTree(spec)));
      }),
      { numRuns: 30 },
    );
  }, 60_000);

  it("gives any range of a file", async () => {
    const spec: MemoryTreeSpec = [
      { path: "mixed", content: mixed(700_001) },
      { path: "sparse", content: mixed(900_000), extents: [{ offset: 300_000, length: 5000 }] },
    ];
    const source = memoryTree(spec);
    await using plan = await makePlan(source);
    await using tree = await open(plan);
    for (const path of ["mixed", "sparse"]) {
      const [entry, expected] = [(await tree.lookup(path))!, await collect(source.read((await source.lookup(path))!))];
      for (const [offset, length] of [
        [0, 1],
        [4095, 2],
        [123_456, 300_000],
        [299_999, 5002],
        [700_000, 1],
        [0, 0],
      ] as const) {
        const read = await collect(tree.read(entry, { offset, length }));
        expect(Buffer.compare(read, expected.subarray(offset, offset + length))).toBe(0);
      }
    }
  });

  it("has many names, deep directories and long links", async () => {
    const spec: MemoryTreeSpec = [
      ...Array.from({ length: 3000 }, (__, index) => ({ path: `many/${"n".repeat(index % 200)}${index}` })),
      { path: Array.from({ length: 300 }, () => "d").join("/"), linkTarget: "t".repeat(4095) },
    ];
    await using plan = await makePlan(memoryTree(spec));
    await using tree = await open(plan);
    expect(await listTree(tree)).toEqual(await listTree(memoryTree(spec)));
  });

  it("finds entries by their path, and nothing where there is none", async () => {
    const spec: MemoryTreeSpec = [{ path: "a/b", content: "x" }, { path: "a-b" }];
    await using plan = await makePlan(memoryTree(spec));
    await using tree = await open(plan);
    for await (const entry of tree.entries()) expect(await tree.lookup(entry.path)).toEqual(entry);
    for (const path of ["b", "a/", "a/b/c", "a//b", "/a", ".."]) expect(await tree.lookup(path)).toBeUndefined();
  });

  it("is not opened, listed or read after an abort", async () => {
    await using plan = await makePlan(memoryTree([{ path: "a", content: mixed(200_000) }]));
    const signal = AbortSignal.abort(new Error("stop"));
    await expect(open(plan, { signal })).rejects.toThrow("stop");
    await using tree = await open(plan);
    await expect(tree.lookup("a", { signal })).rejects.toThrow("stop");
    await expect(listFirst(tree.entries({ signal }))).rejects.toThrow("stop");
    await expect(collect(tree.read((await tree.lookup("a"))!, { signal }))).rejects.toThrow("stop");
  });

  it("throws once it is closed, and for ranges that a file has not", async () => {
    await using plan = await makePlan(memoryTree([{ path: "a", content: "abc" }]));
    const tree = await open(plan);
    const entry = (await tree.lookup("a"))!;
    expect(() => tree.read(entry, { offset: 2, length: 2 })).toThrow(RangeError);
    expect(() => tree.read({ ...entry, inode: 0 })).toThrow(TypeError);
    await tree[Symbol.asyncDispose]();
    await expect(tree.lookup("a")).rejects.toThrow("closed");
    expect(() => tree.read(entry)).toThrow("closed");
  });
});

async function listFirst(entries: AsyncIterable<unknown>): Promise<unknown> {
  for await (const entry of entries) return entry;
  return undefined;
}

describe("openDisk()", () => {
  it.each(["ext4", "erofs"] as const)("finds %s in the first partition that has one", async (format) => {
    const path = join(await temporaryDirectory(), "disk");
    const spec: MemoryTreeSpec = [{ path: "a/b", content: mixed(100_000) }];
    await using plan = await planDisk(memoryTree(spec), { format, verity: true, gpt: { architecture: "amd64" } });
    await writeDisk(plan, path);
    {
      await using tree = await openDisk(path);
      expect(await listTree(tree)).toEqual(await listTree(memoryTree(spec)));
    }
    // The header of the table, then an entry of it.
    for (const at of [512 + 24, 1024 + 40]) {
      const bytes = await readFile(path);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      await writeFile(`${path}.damaged`, bytes);
      await expect(openDisk(`${path}.damaged`)).rejects.toMatchObject({ code: "disk_invalid" });
    }
  });

  it("closes its file with the tree", async () => {
    const path = join(await temporaryDirectory(), "disk");
    await using plan = await planErofs(memoryTree([{ path: "a", content: "x" }]));
    await writeDisk(plan, path);
    const tree = await openDisk(path);
    const open = async (): Promise<number> => {
      const links = await readdir("/proc/self/fd");
      const targets = await Promise.all(links.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
      return targets.filter((target) => target === path).length;
    };
    expect(await open()).toBe(1);
    await tree[Symbol.asyncDispose]();
    expect(await open()).toBe(0);
  });
});
