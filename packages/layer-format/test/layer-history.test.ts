import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Entry } from "../src/file-tree.js";
import type { LayerEntry } from "../src/layer.js";
import { LayerFormatError } from "../src/errors.js";
import { traceLayers } from "../src/merge/layer-history.js";
import type { HistoryEntry, LayerHistory } from "../src/merge/layer-history.js";
import { mergeLayers } from "../src/merge/merge.js";
import { memoryLayer, type MemoryLayerSpec } from "../src/testing.js";
import { attributeAspects } from "../src/tree-comparison.js";
import { layerStacks } from "./layer-stacks.js";

interface Named {
  readonly entry: Entry;
  /** What stands for the inode of anything but a directory in every tree that it is in. */
  readonly leaf: LayerEntry | undefined;
  readonly layer: number;
}

type Tree = ReadonlyMap<string, Named>;

/** The tree after each layer, merged anew for each; the one before the first is empty. */
async function treesOf(specs: readonly MemoryLayerSpec[]): Promise<Tree[]> {
  const layers = specs.map(memoryLayer);
  const trees: Tree[] = [];
  for (let count = 0; count <= layers.length; count++) {
    const tree = await mergeLayers(layers.slice(0, count));
    const names = new Map<string, Named>();
    for await (const entry of tree.entries()) {
      const origin = tree.origin(entry);
      names.set(entry.path, { entry, leaf: origin?.entry, layer: origin?.layer ?? -1 });
    }
    trees.push(names);
  }
  return trees;
}

function dataOf(leaf: LayerEntry): number {
  if (leaf.kind !== "file") return 0;
  return leaf.extents?.reduce((sum, { length }) => sum + length, 0) ?? leaf.size;
}

function leavesOf(tree: Tree): Set<LayerEntry> {
  return new Set([...tree.values()].flatMap(({ leaf }) => leaf ?? []));
}

function changeOf(before: Named | undefined, after: Named | undefined): HistoryEntry["change"] {
  if (before === undefined) return "added";
  if (after === undefined) return "removed";
  if (before.leaf !== after.leaf) return "changed";
  if (after.leaf !== undefined) return "unchanged";
  return attributeAspects(before.entry, after.entry).length > 0 ? "changed" : "unchanged";
}

/** What a layer does, from the whole trees before and after it. */
function slowTotals(before: Tree, after: Tree, layer: number): object {
  const added = new Set<LayerEntry>();
  const changed = new Set<LayerEntry>();
  const removed = new Set<LayerEntry>();
  for (const path of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [before.get(path)?.leaf, after.get(path)?.leaf];
    if (old === now) continue;
    if (old === undefined) added.add(now!);
    else if (now === undefined) removed.add(old);
    else changed.add(now);
  }
  const left = leavesOf(after);
  const own = new Set([...after.values()].filter((named) => named.layer === layer).map(({ leaf }) => leaf!));
  const total = (leaves: LayerEntry[], counts: (leaf: LayerEntry) => boolean): object => ({
    files: leaves.length,
    bytes: leaves.filter(counts).reduce((sum, leaf) => sum + dataOf(leaf), 0),
  });
  return {
    added: total(
      [...added].filter((leaf) => !changed.has(leaf)),
      (leaf) => own.has(leaf),
    ),
    changed: total([...changed], (leaf) => own.has(leaf)),
    removed: total([...removed], (leaf) => !left.has(leaf)),
  };
}

function slowWaste(after: Tree, last: Tree, layer: number): number {
  const left = leavesOf(last);
  const own = new Set([...after.values()].filter((named) => named.layer === layer).map(({ leaf }) => leaf!));
  return [...own].filter((leaf) => !left.has(leaf)).reduce((sum, leaf) => sum + dataOf(leaf), 0);
}

/** "change path" of each name that a layer changes, or in which it changes something; the root is left out. */
function slowChanges(before: Tree, after: Tree): string[] {
  const shown = new Map<string, string>();
  for (const path of new Set([...before.keys(), ...after.keys()])) {
    const change = changeOf(before.get(path), after.get(path));
    if (change === "unchanged") continue;
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const above = path.slice(0, end);
      if (!shown.has(above)) shown.set(above, "changed");
    }
    shown.set(path, change);
  }
  shown.delete("");
  return [...shown].map(([path, change]) => `${change} ${path}`).sort();
}

async function walk(history: LayerHistory, layer: number | undefined): Promise<HistoryEntry[]> {
  const found: HistoryEntry[] = [];
  const left = [""];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    const entries = (await history.list(path, { layer })) ?? [];
    const names = entries.map((entry) => entry.path);
    expect(names).toEqual(names.toSorted());
    for (const entry of entries) {
      expect(await history.find(entry.path, { layer })).toEqual(entry);
      found.push(entry);
      // what a layer has made a file may have been a directory
      if (entry.kind === "directory" || entry.change === "changed") left.push(entry.path);
    }
  }
  return found;
}

async function traced(specs: readonly MemoryLayerSpec[]): Promise<LayerHistory | undefined> {
  try {
    return await traceLayers(specs.map(memoryLayer));
  } catch (error) {
    if (error instanceof LayerFormatError && error.code === "layer_invalid") return undefined;
    throw error;
  }
}

const BASE: MemoryLayerSpec = [
  { path: "etc/hosts", content: "12345" },
  { path: "etc/motd", content: "123" },
  { path: "usr/lib/a", content: "1234567" },
  { path: "usr/lib/b", kind: "hardlink", linkTarget: "usr/lib/a" },
];
const APP: MemoryLayerSpec = [
  { path: "etc", kind: "directory" },
  { path: "etc/hosts", content: "12" },
  { path: "etc/motd", kind: "whiteout" },
  { path: "usr/lib", kind: "whiteout" },
  { path: "opt/tool", content: "1" },
  { path: "opt/link", kind: "hardlink", linkTarget: "etc/hosts" },
];

const directories = fc.array(fc.constantFrom("a", "b"), { maxLength: 2 });
const denseFile = fc
  .tuple(directories, fc.constantFrom("f", "g"))
  .map(([parents, name]) => [...parents, name].join("/"));
const denseDirectory = directories.filter((names) => names.length > 0).map((names) => names.join("/"));
const densePath = fc.oneof(denseFile, denseDirectory);
const markers = fc.constantFrom("whiteout" as const, "opaque" as const);
const denseEntry: fc.Arbitrary<MemoryLayerSpec[number]> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ path: denseFile, content: fc.constantFrom("1", "22", "333") }) },
  { weight: 2, arbitrary: fc.record({ path: denseDirectory, kind: fc.constant("directory" as const) }) },
  { weight: 3, arbitrary: fc.record({ path: densePath, kind: markers }) },
  {
    weight: 1,
    arbitrary: fc.record({ path: denseFile, kind: fc.constant("hardlink" as const), linkTarget: denseFile }),
  },
);
/** Most of these can be applied, and their layers meet often. */
const denseStacks = fc.array(fc.array(denseEntry, { maxLength: 5 }), { minLength: 2, maxLength: 4 });

describe("traceLayers()", () => {
  it("tells for each layer what comparing whole trees tells", async () => {
    let traces = 0;
    let wasteful = 0;
    await fc.assert(
      fc.asyncProperty(fc.oneof(layerStacks, denseStacks), async (specs) => {
        await using history = await traced(specs);
        if (history === undefined) return;
        traces++;
        const trees = await treesOf(specs);
        for (const [layer, totals] of history.layers.entries()) {
          const [before, after] = [trees[layer]!, trees[layer + 1]!];
          const wastedBytes = slowWaste(after, trees.at(-1)!, layer);
          if (wastedBytes > 0) wasteful++;
          expect(totals).toEqual({ ...slowTotals(before, after, layer), wastedBytes });
          const shown = (await walk(history, layer)).map(({ change, path }) => `${change} ${path}`);
          expect(shown.toSorted()).toEqual(slowChanges(before, after));
        }
        const all = (await walk(history, undefined)).map(({ path }) => path);
        expect(all.toSorted()).toEqual([...trees.at(-1)!.keys()].filter((path) => path !== "").toSorted());
      }),
      { numRuns: 600 },
    );
    // or the property would say little
    expect(traces).toBeGreaterThan(120);
    expect(wasteful).toBeGreaterThan(10);
  });

  it("counts a file of several names once, and what of a layer lies under others as wasted", async () => {
    await using history = await traceLayers([BASE, APP].map(memoryLayer));
    expect(history.layers).toEqual([
      {
        added: { files: 3, bytes: 15 },
        changed: { files: 0, bytes: 0 },
        removed: { files: 0, bytes: 0 },
        wastedBytes: 15,
      },
      {
        added: { files: 1, bytes: 1 },
        changed: { files: 1, bytes: 2 },
        removed: { files: 2, bytes: 10 },
        wastedBytes: 0,
      },
    ]);
  });

  it("sums what is below a directory: all of it, or what the layer brought or removed", async () => {
    await using history = await traceLayers([BASE, APP].map(memoryLayer));
    const sums = async (path: string, layer?: number): Promise<string[]> =>
      ((await history.list(path, { layer })) ?? []).map(
        ({ path: name, change, layer: of, totalBytes }) => `${name} ${change} ${of} ${totalBytes}`,
      );
    expect(await sums("")).toEqual(["etc unchanged 1 2", "opt unchanged 1 1", "usr unchanged 0 0"]);
    expect(await sums("", 0)).toEqual(["etc added 0 8", "usr added 0 7"]);
    expect(await sums("", 1)).toEqual(["etc changed 1 2", "opt added 1 1", "usr changed 0 0"]);
    expect(await sums("usr", 1)).toEqual(["usr/lib removed 0 7"]);
    expect(await sums("usr/lib", 1)).toEqual(["usr/lib/a removed 0 7", "usr/lib/b removed 0 7"]);
    expect(await sums("etc", 1)).toEqual(["etc/hosts changed 1 2", "etc/motd removed 0 3"]);
    expect((await history.list("usr/lib", { layer: 1, after: "a", limit: 5 }))?.map(({ path }) => path)).toEqual([
      "usr/lib/b",
    ]);
    expect((await history.list("", { limit: 2 }))?.map(({ path }) => path)).toEqual(["etc", "opt"]);
    expect(await history.list("usr/lib")).toBeUndefined();
    expect(await history.list("etc/hosts")).toBeUndefined();
  });

  it("leaves holes out of sums and in sizes", async () => {
    const sparse: MemoryLayerSpec = [
      {
        path: "d/sparse",
        content: "\0xy\0\0\0z\0",
        extents: [
          { offset: 1, length: 2 },
          { offset: 6, length: 1 },
        ],
      },
    ];
    await using history = await traceLayers([memoryLayer(sparse)]);
    expect(history.layers[0]?.added).toEqual({ files: 1, bytes: 3 });
    expect((await history.list(""))?.[0]?.totalBytes).toBe(3);
    expect((await history.find("d/sparse"))?.size).toBe(8);
  });

  it("goes as deep as paths can", async () => {
    const deep = "d/".repeat(2000);
    const layers: MemoryLayerSpec[] = [[{ path: `${deep}f`, content: "1" }], [{ path: "d", kind: "whiteout" }]];
    await using history = await traceLayers(layers.map(memoryLayer));
    expect(history.layers[1]?.removed).toEqual({ files: 1, bytes: 1 });
    expect((await history.list(deep.slice(0, -1), { layer: 1 }))?.map(({ change }) => change)).toEqual(["removed"]);
  });

  it("takes time by what layers touch, not by what lies below them", { retry: 3 }, async () => {
    const files = Array.from({ length: 20_000 }, (_, at) => ({ path: `d${at % 100}/f${at}`, content: "1" }));
    const more = Array.from({ length: 120 }, (_, at) => [{ path: `d${at % 100}/new${at}`, content: "1" }]);
    const layers = [files, ...more].map(memoryLayer);
    const timed = async (work: () => Promise<unknown>): Promise<number> => {
      const started = performance.now();
      await work();
      return performance.now() - started;
    };
    const onceMs = await timed(() => mergeLayers(layers));
    const traceMs = await timed(() => traceLayers(layers));
    // merging anew for each layer takes over 60 times as long
    expect(traceMs / onceMs).toBeLessThan(25);
  });

  it("rejects when it is aborted, and refuses a layer that there is not", async () => {
    const reason = new Error("stop");
    await expect(traceLayers([memoryLayer(BASE)], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await using history = await traceLayers([memoryLayer(BASE)]);
    await expect(history.list("", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(history.list("", { layer: 1 })).rejects.toThrow(new RangeError("cannot look at layer 1: there are 1"));
  });

  it("closes its layers, and then tells nothing any more", async () => {
    let closed = 0;
    const layer = memoryLayer(BASE);
    const history = await traceLayers([{ ...layer, [Symbol.asyncDispose]: () => Promise.resolve(void closed++) }]);
    await history[Symbol.asyncDispose]();
    expect(closed).toBe(1);
    await expect(history.list("")).rejects.toThrow("it is closed");
  });
});
