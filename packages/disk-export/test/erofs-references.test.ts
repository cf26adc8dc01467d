import type { Layer } from "@lamella/layer-format";
import { mergeLayers } from "@lamella/layer-format";
import { memoryLayer } from "@lamella/layer-format/testing";
import type { MemoryLayerSpec } from "@lamella/layer-format/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { DiskPlan } from "../src/disk-plan.js";
import { externalData } from "../src/erofs/layers/external-data.js";
import { planErofsIndex } from "../src/erofs/layers/index-plan.js";
import type { TarContents } from "../src/erofs/layers/index-plan.js";
import { planErofsLayers } from "../src/erofs/layers/layer-plan.js";
import type { ErofsLayerOptions, ErofsLayerPlan } from "../src/erofs/layers/layer-plan.js";
import { planErofsMerge } from "../src/erofs/layers/merge-plan.js";
import type { ErofsReferenceOptions } from "../src/erofs/layers/reference-plan.js";
import { collect } from "./bytes.js";
import { readErofs } from "./erofs-reader.js";
import { listTree } from "./listing.js";
import { treeSpecs } from "./random-tree.js";

/** As a tar has it: each file's data from a multiple of 512, behind a header. */
function tarContents(spec: MemoryLayerSpec): TarContents {
  const layer = memoryLayer(spec);
  let end = 0;
  const places = new Map<number, { from: number; length: number }>();
  const entries = layer.entries.map((entry) => {
    end += 512;
    if (entry.kind !== "file") return entry;
    const length = entry.extents?.reduce((sum, extent) => sum + extent.length, 0) ?? entry.size;
    const contentOffset = end;
    places.set(contentOffset, { from: entry.contentOffset, length });
    end += Math.ceil(length / 512) * 512;
    return { ...entry, contentOffset };
  });
  const sizeBytes = end;
  let tar: Promise<Uint8Array> | undefined;
  async function makeTar(): Promise<Uint8Array> {
    const bytes = new Uint8Array(sizeBytes);
    for (const [at, { from, length }] of places) bytes.set(await collect(layer.readContents(from, length)), at);
    return bytes;
  }
  async function* readContents(offset: number, length: number): AsyncGenerator<Uint8Array> {
    tar ??= makeTar();
    yield (await tar).subarray(offset, offset + length);
  }
  return { ...layer, entries, sizeBytes, readContents };
}

async function planLayers(layers: readonly Layer[], options: ErofsLayerOptions): Promise<ErofsLayerPlan[]> {
  const plans: ErofsLayerPlan[] = [];
  for await (const plan of planErofsLayers(layers, options)) plans.push(plan);
  return plans;
}

async function planMerge(specs: readonly MemoryLayerSpec[], options: ErofsReferenceOptions): Promise<DiskPlan> {
  const layers = specs.map((spec) => memoryLayer(spec));
  return planErofsMerge(layers, await planLayers(layers, { wholeBlocks: true }), options);
}

const NEXT: MemoryLayerSpec = [
  { path: "added", content: "a".repeat(5000) },
  { path: "hole", content: { size: 9000, fill: () => 1 }, extents: [] },
  { path: "name of added", hardlinkTo: "added" },
];

describe.each([
  [
    "planErofsIndex()",
    (specs: readonly MemoryLayerSpec[]) => planErofsIndex(specs.map(tarContents), { concatenated: true }),
  ],
  ["planErofsMerge()", (specs: readonly MemoryLayerSpec[]) => planMerge(specs, { concatenated: true })],
])("%s", (_, plan) => {
  it("gives a disk that holds any merged tree, its devices behind it", async () => {
    await fc.assert(
      fc.asyncProperty(treeSpecs, async (spec) => {
        const disk = await plan([spec, NEXT]);
        const read = readErofs(await collect(disk.read(0, disk.sizeBytes)));
        expect(read).toEqual(await listTree(await mergeLayers([memoryLayer(spec), memoryLayer(NEXT)])));
      }),
      { numRuns: 40 },
    );
  });
});

describe("planErofsIndex()", () => {
  it("is small where the tars are not part of it", async () => {
    const plan = await planErofsIndex([tarContents([{ path: "a", content: { size: 1 << 20, fill: 7 } }])]);
    expect(plan.sizeBytes).toBe(8192);
    expect(plan).toMatchObject({ format: "erofs", kernel: "6.4", losses: [] });
  });

  it("has room for the table of many devices before its inodes", async () => {
    const layers = Array.from({ length: 200 }, (_, index) => tarContents([{ path: `f${index}`, content: `${index}` }]));
    const plan = await planErofsIndex(layers, { concatenated: true });
    expect(readErofs(await collect(plan.read(0, plan.sizeBytes)))).toEqual(await listTree(await mergeLayers(layers)));
  });

  it("refuses a kernel that knows no blocks of 512 bytes", async () => {
    const layers = [tarContents([])];
    await expect(planErofsIndex(layers, { kernel: "6.1" })).rejects.toMatchObject({ code: "unsupported" });
    await expect(planErofsIndex(layers, { kernel: "6.4" })).resolves.toMatchObject({ kernel: "6.4" });
  });

  it("refuses data that lies where a tar has none, and too many devices", async () => {
    const packed = memoryLayer([
      { path: "a", content: "1" },
      { path: "b", content: "2" },
    ]);
    await expect(planErofsIndex([{ ...packed, sizeBytes: 512 }])).rejects.toMatchObject({ code: "tree_invalid" });
    const layers = Array.from({ length: 1025 }, () => tarContents([]));
    await expect(planErofsIndex(layers)).rejects.toMatchObject({ code: "unsupported" });
  });

  it("refuses options that are none", async () => {
    for (const options of [{ uuid: "x" }, { label: "l".repeat(17) }, { epochSeconds: -1 }]) {
      await expect(planErofsIndex([], options)).rejects.toMatchObject({ code: "option_invalid" });
    }
  });

  it("rejects with a signal's reason", async () => {
    const reason = new Error("enough");
    await expect(planErofsIndex([], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("planErofsMerge()", () => {
  const spec: MemoryLayerSpec = [{ path: "a", content: "text ".repeat(3000) }];

  it("needs Linux 5.16, and 6.4 as one device", async () => {
    expect(await planMerge([spec], {})).toMatchObject({ kernel: "5.16" });
    expect(await planMerge([spec], { concatenated: true })).toMatchObject({ kernel: "6.4" });
    await expect(planMerge([spec], { concatenated: true, kernel: "6.1" })).rejects.toMatchObject({
      code: "unsupported",
    });
  });

  it("finds a file's data in the disk of the layer that brought it, also by another layer's name", async () => {
    const layers = [
      spec,
      [
        { path: "b", kind: "hardlink" as const, linkTarget: "a" },
        { path: "a", content: "new" },
      ],
    ];
    const plan = await planMerge(layers, { concatenated: true });
    const read = readErofs(await collect(plan.read(0, plan.sizeBytes)));
    expect(read).toEqual(await listTree(await mergeLayers(layers.map((layer) => memoryLayer(layer)))));
  });

  it.each<[string, ErofsLayerOptions]>([
    ["with inline tails", {}],
    ["that are compressed", { wholeBlocks: true, compression: "lz4", threads: 1 }],
  ])("refuses disks %s", async (_, options) => {
    const layers = [memoryLayer(spec)];
    const disks = await planLayers(layers, options);
    await expect(planErofsMerge(layers, disks)).rejects.toMatchObject({ code: "option_invalid" });
    for (const disk of disks) await disk[Symbol.asyncDispose]();
  });

  it("refuses another number of disks", async () => {
    await expect(planErofsMerge([memoryLayer(spec)], [])).rejects.toMatchObject({ code: "option_invalid" });
  });

  it("rejects with a signal's reason", async () => {
    const reason = new Error("enough");
    await expect(planErofsMerge([], [], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("externalData()", () => {
  it.each([
    [1, { chunkBits: 0, chunkCount: 1 }],
    [512, { chunkBits: 0, chunkCount: 1 }],
    [513, { chunkBits: 1, chunkCount: 1 }],
    [2 ** 30, { chunkBits: 21, chunkCount: 1 }],
    [2 ** 30 + 1, { chunkBits: 21, chunkCount: 2 }],
    [5 * 2 ** 30, { chunkBits: 21, chunkCount: 5 }],
  ])("has %i bytes in chunks of at most 1 GiB", (sizeBytes, expected) => {
    expect(externalData({ device: 1, block: 0, sizeBytes, blockBytes: 512 })).toMatchObject(expected);
  });
});
