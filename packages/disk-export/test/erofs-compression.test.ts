import { readdir } from "node:fs/promises";

import type { FileTree } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import type { MemoryTreeSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { planErofs } from "../src/erofs/plan.js";
import type { ErofsOptions } from "../src/erofs/plan.js";
import { collect } from "./bytes.js";
import { readErofs } from "./erofs-reader.js";
import { handMadeTree, ROOT } from "./hand-made-tree.js";
import { listTree } from "./listing.js";
import { treeSpecs } from "./random-tree.js";
import { temporaryDirectory } from "./temporary-directory.js";

const HAS_ZSTD = "zstdCompressSync" in (await import("node:zlib"));
const ALGORITHMS = (["lz4", "deflate", "zstd"] as const).filter((name) => name !== "zstd" || HAS_ZSTD);

async function makeDisk(spec: MemoryTreeSpec, options: ErofsOptions): Promise<Uint8Array> {
  await using plan = await planErofs(memoryTree(spec), options);
  return await collect(plan.read(0, plan.sizeBytes));
}

async function roundTrip(spec: MemoryTreeSpec, options: ErofsOptions): Promise<void> {
  expect(readErofs(await makeDisk(spec, options))).toEqual(await listTree(memoryTree(spec)));
}

type Fill = (offset: number) => number;

const text: Fill = (at) => (at % 23 === 0 ? 10 : 97 + ((Math.imul(at >>> 3, 0x9e3779b1) >>> 27) % 26));
const noise: Fill = (at) => {
  const mixedUp = Math.imul(at + 1, 0x9e3779b1);
  return (Math.imul(mixedUp ^ (mixedUp >>> 15), 0x85ebca6b) >>> 13) & 0xff;
};
/** Text and noise in turn, and a little of each, so that compressed and uncompressed extents meet anywhere. */
const mixed: Fill = (at) => ((at >>> 14) % 3 === 1 ? noise(at) : text(at));

/** Around the borders of a block, of an extent and of a unit. */
const SIZES = [4096, 4097, 8191, 8192, 8193, 65_535, 65_536, 65_537, 200_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1];

describe("planErofs() with compression", () => {
  it.each(ALGORITHMS)("keeps any tree: %s", async (compression) => {
    await fc.assert(
      fc.asyncProperty(treeSpecs, (spec) => roundTrip(spec, { compression, threads: 1 })),
      { numRuns: 20 },
    );
  });

  it.each(ALGORITHMS)("keeps files of any compressibility, whatever their size: %s", async (compression) => {
    const fills: Fill[] = [text, noise, mixed, () => 0];
    const spec = SIZES.flatMap((size) =>
      fills.map((fill, index) => ({ path: `${size}/${index}`, content: { size, fill } })),
    );
    await roundTrip(spec, { compression });
  });

  it("keeps files wherever compressed and uncompressed parts meet", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ length: fc.nat(90_000), kind: fc.constantFrom(text, noise, mixed, () => 0) }), {
          maxLength: 8,
        }),
        async (parts) => {
          const ends: number[] = [];
          for (const { length } of parts) ends.push((ends.at(-1) ?? 0) + length);
          const fill: Fill = (at) => parts[ends.findIndex((end) => at < end)]!.kind(at);
          await roundTrip([{ path: "f", content: { size: ends.at(-1) ?? 0, fill } }], {
            compression: "lz4",
            threads: 1,
          });
        },
      ),
      { numRuns: 25 },
    );
  });

  it("keeps a compressed file's xattrs, whatever they do to the place of its index", async () => {
    await roundTrip(
      Array.from({ length: 24 }, (_, index) => ({
        path: `f${index}`,
        content: { size: 4096 * (index * 3 + 2) + index, fill: text },
        xattrs: index === 0 ? {} : { "user.a": "x".repeat(index * 4) },
      })),
      { compression: "lz4" },
    );
  });

  it("makes a smaller disk, and gives flat files the room that they take", async () => {
    const spec: MemoryTreeSpec = [{ path: "text", content: { size: 1_000_000, fill: text } }];
    const [plain, packed] = await Promise.all([makeDisk(spec, {}), makeDisk(spec, { compression: "lz4" })]);
    expect(packed.length).toBeLessThan(plain.length * 0.8);
    const noisy: MemoryTreeSpec = [{ path: "noise", content: { size: 1_200_000, fill: noise } }];
    const flat = await planErofs(memoryTree(noisy), {});
    await using same = await planErofs(memoryTree(noisy), { compression: "lz4" });
    expect(same.sizeBytes).toBe(flat.sizeBytes);
  });

  it("leaves a sparse file's holes to the disk", async () => {
    const extents = [{ offset: 2 ** 40, length: 3 }];
    await using plan = await planErofs(
      memoryTree([{ path: "sparse", content: { size: 2 ** 40 + 3, fill: 9 }, extents }]),
      { compression: "lz4" },
    );
    expect(plan.segments.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(10_000);
  });

  it("gives the same bytes with one thread or several", async () => {
    const spec: MemoryTreeSpec = Array.from({ length: 30 }, (_, index) => ({
      path: `f${index}`,
      content: {
        size: (index % 5) * 100_000 + (index === 7 ? 2_500_000 : index * 991),
        fill: [text, mixed, noise][index % 3]!,
      },
    }));
    const [one, two, three] = await Promise.all(
      [1, 2, 3].map((threads) => makeDisk(spec, { compression: "lz4", threads })),
    );
    expect(Buffer.compare(one!, two!)).toBe(0);
    expect(Buffer.compare(one!, three!)).toBe(0);
  });

  it("reads any range of a compressed disk alike", async () => {
    const spec: MemoryTreeSpec = [{ path: "f", content: { size: 300_000, fill: mixed } }];
    await using plan = await planErofs(memoryTree(spec), { compression: "lz4" });
    const whole = await collect(plan.read(0, plan.sizeBytes));
    for (const [offset, length] of [
      [0, 5000],
      [8191, 2],
      [9000, 70_001],
      [plan.sizeBytes - 1, 1],
    ] as const) {
      const part = await collect(plan.read(offset, length));
      expect(Buffer.compare(part, whole.subarray(offset, offset + length))).toBe(0);
    }
  });

  it.each<[ErofsOptions, string]>([
    [{}, "5.4"],
    [{ compression: "none" }, "5.4"],
    [{ compression: "lz4" }, "5.13"],
    [{ compression: "deflate" }, "6.6"],
  ])("says which kernel reads it: %j, Linux %s", async (options, kernel) => {
    await using plan = await planErofs(memoryTree([]), options);
    expect(plan.kernel).toBe(kernel);
    await using asked = await planErofs(memoryTree([]), { ...options, kernel });
    expect(asked.kernel).toBe(kernel);
  });

  it.each<[ErofsOptions, string]>([
    [
      { compression: "lz4", kernel: "5.12" },
      "cannot make a disk for Linux 5.12: it uses LZ4 compression in extents of several blocks, which needs 5.13",
    ],
    [
      { compression: "deflate", kernel: "6.1" },
      "cannot make a disk for Linux 6.1: it uses deflate compression, which needs 6.6",
    ],
    [{ kernel: "4.19" }, "cannot make a disk for Linux 4.19: it uses EROFS, which needs 5.4"],
  ])("refuses %j, saying what needs which kernel", async (options, message) => {
    await expect(planErofs(memoryTree([]), options)).rejects.toMatchObject({ code: "unsupported", message });
  });

  it("takes zstd only where Node has an encoder", async () => {
    const planning = planErofs(memoryTree([]), { compression: "zstd" });
    if (HAS_ZSTD) {
      await using plan = await planning;
      expect(plan.kernel).toBe("6.10");
      return;
    }
    await expect(planning).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("22.15") as string,
    });
  });

  it.each<[string, ErofsOptions]>([
    ["another algorithm", { compression: "lzma" as never }],
    ["a property of every object as one", { compression: "toString" as never }],
    ["no threads", { compression: "lz4", threads: 0 }],
    ["half a thread", { compression: "lz4", threads: 1.5 }],
    ["a kernel that is no version", { kernel: "six" }],
  ])("refuses %s", async (_what, options) => {
    await expect(planErofs(memoryTree([]), options)).rejects.toMatchObject({ code: "option_invalid" });
  });

  it("says where it could not keep compressed data", async () => {
    const options: ErofsOptions = { compression: "lz4", spoolDirectory: "/nowhere/at/all" };
    await expect(planErofs(memoryTree([]), options)).rejects.toMatchObject({ code: "write_failed" });
  });

  it("leaves no file in its directory, and frees its room when it is disposed of", async () => {
    const spoolDirectory = await temporaryDirectory();
    const plan = await planErofs(memoryTree([{ path: "f", content: { size: 100_000, fill: text } }]), {
      compression: "lz4",
      spoolDirectory,
    });
    expect(await readdir(spoolDirectory)).toEqual([]);
    await collect(plan.read(0, plan.sizeBytes));
    await plan[Symbol.asyncDispose]();
    await plan[Symbol.asyncDispose]();
    await expect(collect(plan.read(0, plan.sizeBytes))).rejects.toThrow();
  });

  it.each([
    ["fewer", 9000, [new Uint8Array(8999)]],
    ["more", 9000, [new Uint8Array(9001)]],
  ])("refuses a tree that gives %s bytes than a file has", async (how, size, chunks) => {
    const tree = handMadeTree([ROOT, { path: "f", size }], chunks);
    await expect(planErofs(tree, { compression: "lz4" })).rejects.toMatchObject({
      code: "tree_invalid",
      message: `cannot read /f: its tree gave ${how} than 9000 bytes`,
    });
  });

  it("rejects with the signal's reason amid the data, and leaves no thread and no file open", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const inner = memoryTree(
      Array.from({ length: 20 }, (_, index) => ({ path: `f${index}`, content: { size: 1 << 20, fill: text } })),
    );
    let files = 0;
    const tree: FileTree = Object.create(inner, {
      read: {
        value: (...args: Parameters<FileTree["read"]>) => {
          files += 1;
          if (files === 8) controller.abort(reason);
          return inner.read(...args);
        },
      },
      entries: { value: inner.entries.bind(inner) },
    }) as FileTree;
    const before = openResources();
    await expect(planErofs(tree, { compression: "lz4", signal: controller.signal })).rejects.toBe(reason);
    expect(files).toBe(8);
    expect(openResources()).toEqual(before);
  });
});

function openResources(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "MessagePort" || name === "Worker").length;
}
