import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { LayerFormatError } from "../src/errors.js";
import type { Layer } from "../src/layer.js";
import { mergeLayers } from "../src/merge/merge.js";
import type { LayeredTree } from "../src/merge/merged-tree.js";
import { isNullDevice } from "../src/overlay/marks.js";
import { layerFromOverlay } from "../src/overlay/overlay-layer.js";
import { overlayTree, overlayTrees } from "../src/overlay/overlay-tree.js";
import { memoryLayer, memoryTree, type MemoryLayerSpec, type MemoryTreeSpec } from "../src/testing.js";
import { compareTrees, type TreeDifference } from "../src/tree-comparison.js";
import { layerStacks } from "./layer-stacks.js";
import { bytesOf, paths } from "./tree-listing.js";

const WHITEOUT = { kind: "char" as const, device: { major: 0, minor: 0 }, mode: 0 };

async function mergeIfValid(layers: readonly Layer[]): Promise<LayeredTree | undefined> {
  try {
    return await mergeLayers(layers);
  } catch (error) {
    if (error instanceof LayerFormatError && error.code === "layer_invalid") return undefined;
    throw error;
  }
}

/** Devices 0:0 aside, which an overlay cannot show. */
async function differences(expected: LayeredTree, actual: LayeredTree): Promise<TreeDifference[]> {
  const found: TreeDifference[] = [];
  for await (const difference of compareTrees(expected, actual)) {
    // new names of one that a lower layer has are left out too
    if (!isNullDevice(difference.change === "changed" ? difference.before : difference.entry)) found.push(difference);
  }
  return found;
}

/** `=` an opaque directory, `-` a whiteout. */
async function marked(tree: Awaited<ReturnType<typeof overlayTree>>): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of tree.entries()) {
    const mark = isNullDevice(entry) ? "-" : entry.xattrs.has("trusted.overlay.opaque") ? "=" : "";
    names.push(mark + entry.path);
  }
  return names;
}

function layerOf(spec: MemoryTreeSpec, xattrs?: "trusted" | "user" | "both"): Promise<Layer> {
  return layerFromOverlay(memoryTree(spec), xattrs === undefined ? {} : { xattrs });
}

async function told(spec: MemoryTreeSpec, xattrs?: "trusted" | "user" | "both"): Promise<string[]> {
  const { entries } = await layerOf(spec, xattrs);
  return entries.map(({ path, kind, linkTarget }) => `${kind} ${path}${linkTarget === "" ? "" : ` -> ${linkTarget}`}`);
}

describe("layerFromOverlay(overlayTree())", () => {
  it.each(["trusted", "user", "both"] as const)(
    "lays on the lower layers what the layer does, with %s xattrs",
    async (xattrs) => {
      let compared = 0;
      await fc.assert(
        fc.asyncProperty(layerStacks, async (specs) => {
          const layers = specs.map(memoryLayer);
          const expected = await mergeIfValid(layers);
          fc.pre(expected !== undefined);
          const lower = layers.slice(0, -1);
          const upper = await overlayTree(lower, layers.at(-1) as Layer, { xattrs });
          const actual = await mergeLayers([...lower, await layerFromOverlay(upper, { xattrs })]);
          expect(await differences(expected, actual)).toEqual([]);
          compared += 1;
        }),
        { numRuns: 300 },
      );
      expect(compared).toBe(300);
    },
  );

  it("makes the same of a whole stack, layer for layer", async () => {
    await fc.assert(
      fc.asyncProperty(layerStacks, async (specs) => {
        const layers = specs.map(memoryLayer);
        const expected = await mergeIfValid(layers);
        fc.pre(expected !== undefined);
        const upper: Layer[] = [];
        for await (const tree of overlayTrees(layers)) upper.push(await layerFromOverlay(tree));
        expect(upper).toHaveLength(layers.length);
        expect(await differences(expected, await mergeLayers(upper))).toEqual([]);
      }),
    );
  });
});

describe("overlayTree()", () => {
  async function over(lower: MemoryLayerSpec, layer: MemoryLayerSpec): Promise<string[]> {
    return marked(await overlayTree([memoryLayer(lower)], memoryLayer(layer)));
  }

  it("has what the layer changes, whiteouts for what is gone, and opaque directories", async () => {
    const lower: MemoryLayerSpec = [{ path: "a/1" }, { path: "a/2" }, { path: "b/1" }, { path: "c/1" }, { path: "d" }];
    const layer: MemoryLayerSpec = [
      { path: "a/1", kind: "whiteout" },
      { path: "b", kind: "opaque" },
      { path: "b/2" },
      { path: "c", kind: "whiteout" },
    ];
    expect(await over(lower, layer)).toEqual(["", "a", "-a/1", "=b", "b/2", "-c"]);
  });

  it("finds its way back to the layer that has a file's data", async () => {
    const tree = await overlayTree(
      [memoryLayer([{ path: "a", content: "data" }])],
      memoryLayer([{ path: "b", kind: "hardlink", linkTarget: "a" }]),
    );
    const entry = await tree.lookup("b");
    expect(entry).toMatchObject({ links: 2 });
    expect(tree.origin(entry!)).toMatchObject({ layer: 0, entry: { path: "a" } });
    expect(await bytesOf(tree.read(entry!))).toEqual(Buffer.from("data"));
  });

  it("tells once of what no overlay can show, for the layer that has it", async () => {
    const lost: string[] = [];
    const onLoss = (what: string, path: string): void => void lost.push(`${path}: ${what}`);
    const layers = [
      memoryLayer([{ path: "n", ...WHITEOUT }]),
      memoryLayer([
        { path: "x", xattrs: { "trusted.overlay.opaque": "y" } },
        { path: "y", hardlinkTo: "x" },
      ]),
      memoryLayer([]),
    ];
    for await (const tree of overlayTrees(layers, { onLoss })) expect(await paths(tree)).not.toContain("n");
    expect(lost).toEqual([
      "n: devices 0:0, which overlayfs takes for whiteouts",
      "x: xattrs of overlayfs, which an overlay shows from Linux 6.7 on",
    ]);
  });

  it("rejects with a signal's reason", async () => {
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(overlayTree([], memoryLayer([]), { signal })).rejects.toBe(reason);
    const tree = await overlayTree([], memoryLayer([{ path: "a" }]));
    await expect(tree.lookup("a", { signal })).rejects.toBe(reason);
  });
});

describe("layerFromOverlay()", () => {
  it("takes whiteouts, opaque directories and hard links for what they mean", async () => {
    const opaque = { "trusted.overlay.opaque": "y" };
    const spec: MemoryTreeSpec = [
      { path: "a", content: "1" },
      { path: "b/1", ...WHITEOUT },
      { path: "b/2", hardlinkTo: "b/1" },
      { path: "c", kind: "directory", xattrs: opaque },
      { path: "d", hardlinkTo: "a" },
    ];
    expect(await told(spec)).toEqual([
      "directory ",
      "file a",
      "directory b",
      "whiteout b/1",
      "whiteout b/2",
      "directory c",
      "opaque c",
      "hardlink d -> a",
    ]);
    expect((await layerOf(spec)).entries.every(({ xattrs }) => xattrs.size === 0)).toBe(true);
  });

  it("takes a marked file for a whiteout where the directory says that there are such", async () => {
    const whiteout = { xattrs: { "trusted.overlay.whiteout": "" } };
    const spec = (value: string): MemoryTreeSpec => [
      { path: "a", kind: "directory", xattrs: { "trusted.overlay.opaque": value } },
      { path: "a/1", ...whiteout },
      { path: "a/2" },
    ];
    expect(await told(spec("x"))).toEqual(["directory ", "directory a", "whiteout a/1", "file a/2"]);
    await expect(told(spec("y"))).rejects.toMatchObject({ code: "layer_invalid" });
  });

  it("does not take the root for opaque", async () => {
    expect(await told([{ path: "", kind: "directory", xattrs: { "trusted.overlay.opaque": "y" } }])).toEqual([
      "directory ",
    ]);
  });

  it("leaves out overlayfs' notes to itself, and keeps the other namespace's xattrs", async () => {
    const notes = ["origin", "impure", "nlink", "upper", "uuid", "protattr"];
    const xattrs = Object.fromEntries([
      ...notes.map((note) => [`trusted.overlay.${note}`, "1"]),
      ["user.overlay.opaque", "y"],
      ["trusted.overlay.overlay.opaque", "y"],
      ["user.u", "1"],
    ]);
    const layer = await layerOf([{ path: "a", kind: "directory", xattrs }]);
    expect([...(layer.entries[1]?.xattrs.keys() ?? [])]).toEqual([
      "user.overlay.opaque",
      "trusted.overlay.opaque",
      "user.u",
    ]);
    expect(await told([{ path: "a", kind: "directory", xattrs }], "user")).toEqual([
      "directory ",
      "directory a",
      "opaque a",
    ]);
  });

  it.each(["redirect", "metacopy", "unheard-of"])("refuses the mark %s", async (mark) => {
    const layer = layerOf([{ path: "a\n", xattrs: { [`trusted.overlay.${mark}`]: "/b" } }]);
    await expect(layer).rejects.toMatchObject({
      code: "layer_invalid",
      message: expect.stringContaining(`cannot take "a\\n" from an overlay: overlayfs' mark "${mark}"`),
    });
  });

  it("has the files' data end to end, without holes, in the order in which the tree reads best", async () => {
    const tree = memoryTree([
      { path: "z", content: "first" },
      {
        path: "a",
        content: "\0xy\0\0\0z\0",
        extents: [
          { offset: 1, length: 2 },
          { offset: 6, length: 1 },
        ],
      },
      { path: "e" },
    ]);
    const layer = await layerFromOverlay(tree);
    const offsets = layer.entries.map(({ path, contentOffset }) => [path, contentOffset]);
    expect(offsets).toEqual([
      ["", 0],
      ["a", 5],
      ["e", 8],
      ["z", 0],
    ]);
    expect((await bytesOf(layer.readContents(0, 8))).toString()).toBe("firstxyz");
    for (let start = 0; start <= 8; start++) {
      const part = await bytesOf(layer.readContents(start, 8 - start));
      expect(part.toString()).toBe("firstxyz".slice(start));
    }
    await expect(bytesOf(layer.readContents(0, 9))).rejects.toThrow("cannot read to 9: the contents end at 8");
  });

  it("closes the tree with the layer", async () => {
    const tree = memoryTree([{ path: "a", content: "1" }]);
    const layer = await layerFromOverlay(tree);
    await layer[Symbol.asyncDispose]();
    await expect(tree.lookup("a")).rejects.toThrow("closed");
  });

  it("has the diffID that it is given, or one that no other has", async () => {
    const { diffID } = memoryLayer([]);
    expect((await layerFromOverlay(memoryTree([]), { diffID })).diffID).toBe(diffID);
    expect((await layerOf([])).diffID).not.toBe((await layerOf([])).diffID);
  });

  it("rejects with a signal's reason", async () => {
    const reason = new Error("enough");
    const tree = memoryTree([{ path: "a", content: "1" }]);
    await expect(layerFromOverlay(tree, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const layer = await layerFromOverlay(tree);
    const read = bytesOf(layer.readContents(0, 1, { signal: AbortSignal.abort(reason) }));
    await expect(read).rejects.toBe(reason);
  });
});
