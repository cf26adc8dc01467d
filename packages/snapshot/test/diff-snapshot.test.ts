import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { LayerFormatError, mergeLayers } from "@lamella/layer-format";
import type { FileTree } from "@lamella/layer-format";
import { memoryLayer, memoryTree } from "@lamella/layer-format/testing";
import type { MemoryLayerSpec, MemoryTreeSpec } from "@lamella/layer-format/testing";
import { digestOf } from "@lamella/refs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { diffSnapshot } from "../src/node/diff-snapshot.js";
import { packDiff } from "../src/node/diff-pack.js";
import type { DiffProgress } from "../src/node/diff-pack.js";
import { SnapshotError } from "../src/errors.js";
import { createSnapshotter } from "../src/node/snapshotter.js";
import { createTreeDriver } from "../src/node/tree-driver.js";
import type { Snapshotter } from "../src/snapshotter.js";
import { diffTar, layerOf, mergeTars } from "./diff-trees.js";
import { treePair } from "./tree-arbitrary.js";

type Diffable = Pick<Snapshotter, "stat" | "openTree" | "openChanges">;

/** Two snapshots in memory, `base` and `key` on it; the changes are known if they are given. */
function snapshots(base: MemoryTreeSpec, upper: () => Promise<FileTree>, changes?: MemoryLayerSpec) {
  const opened: string[] = [];
  const parts: Diffable = {
    async stat(name) {
      const now = new Date();
      if (name !== "key" && name !== "base") throw new SnapshotError("not_found", `cannot find snapshot ${name}`);
      const parent = name === "key" ? "base" : undefined;
      return { kind: "active", name, parent, labels: {}, createdAt: now, updatedAt: now };
    },
    async openTree(name) {
      opened.push(name);
      return name === "key" ? upper() : memoryTree(base);
    },
  };
  if (changes !== undefined) {
    parts.openChanges = async () => {
      opened.push("changes");
      return memoryLayer(changes);
    };
  }
  return { snapshotter: parts as Snapshotter, opened };
}

function collect() {
  const chunks: Buffer[] = [];
  return {
    write: async (bytes: Uint8Array) => void chunks.push(Buffer.from(bytes)),
    bytes: () => Buffer.concat(chunks),
  };
}

const NAMES = ["a", "b", "c"];
const path = fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
const changed: fc.Arbitrary<MemoryLayerSpec[number]> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ path, content: fc.constantFrom("x", "y") }) },
  {
    weight: 3,
    arbitrary: fc.record({ path, kind: fc.constant("directory" as const), mode: fc.constantFrom(0o755, 0o700) }),
  },
  { weight: 3, arbitrary: fc.record({ path, kind: fc.constant("whiteout" as const) }) },
  { weight: 2, arbitrary: fc.record({ path, kind: fc.constant("opaque" as const) }) },
  { weight: 1, arbitrary: fc.record({ path, linkTarget: path }) },
  {
    weight: 2,
    arbitrary: fc.record({
      path,
      kind: fc.constant("hardlink" as const),
      linkTarget: fc.oneof(
        path,
        path.map((target) => `/${target}`),
        path.map((target) => `c/../${target}`),
      ),
    }),
  },
);

describe("diffSnapshot()", () => {
  it("gives for changes that are known the bytes that comparing gives, whatever the changes look like", async () => {
    let compared = 0;
    const sample = fc.tuple(treePair, fc.array(changed, { maxLength: 8 }));
    await fc.assert(
      fc.asyncProperty(sample, async ([[base], changes]) => {
        const upper = async (): Promise<FileTree> => mergeLayers([...baseLayers(base), memoryLayer(changes)]);
        try {
          await upper();
        } catch (error) {
          if (error instanceof LayerFormatError) return;
          throw error;
        }
        const slow = collect();
        const fast = collect();
        const whole = await diffSnapshot(snapshots(base, upper).snapshotter, "key", slow, { compression: "none" });
        const known = snapshots(base, upper, changes);
        const part = await diffSnapshot(known.snapshotter, "key", fast, { compression: "none" });
        expect(known.opened).toEqual(["base", "changes"]);
        expect(fast.bytes().equals(slow.bytes())).toBe(true);
        expect(part).toEqual(whole);
        if (whole.entryCount > 0) compared++;
      }),
      { numRuns: 1000 },
    );
    expect(compared).toBeGreaterThan(100);
  });

  it("does the same for changes as a diff writes them", async () => {
    await fc.assert(
      fc.asyncProperty(treePair, async ([base, after]) => {
        const tar = await diffTar(memoryTree(base), memoryTree(after));
        const layers = baseLayers(base);
        const known = snapshots(base, () => mergeTars([tar]));
        known.snapshotter.openChanges = async () => layerOf(tar);
        const fast = collect();
        await diffSnapshot(known.snapshotter, "key", fast, { compression: "none" });
        const upper = await mergeLayers([...layers, layerOf(tar)]);
        expect(fast.bytes().equals(await diffTar(memoryTree(base), upper))).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it("compares with another snapshot than the parent, or with nothing", async () => {
    const { snapshotter, opened } = snapshots([{ path: "a" }], async () => memoryTree([{ path: "b" }]), []);
    const output = collect();
    expect(await diffSnapshot(snapshotter, "key", output, { parent: "key", compression: "none" })).toMatchObject({
      entryCount: 0,
    });
    expect(opened).toEqual(["key", "key"]);
    delete snapshotter.openChanges;
    expect(await diffSnapshot(snapshotter, "base", output)).toMatchObject({ entryCount: 1 });
  });

  it("fails for a snapshot that is not there, and does not begin after an abort", async () => {
    const { snapshotter } = snapshots([], async () => memoryTree([]));
    await expect(diffSnapshot(snapshotter, "none", collect())).rejects.toMatchObject({ code: "not_found" });
    const signal = AbortSignal.abort(new Error("stop"));
    await expect(diffSnapshot(snapshotter, "key", collect(), { signal })).rejects.toThrow("stop");
  });
});

describe("diffSnapshot() of snapshots on disk", () => {
  it("gives the layer that was applied, by comparing trees and by its changes", async () => {
    const directory = await mkdtemp(join(tmpdir(), "lamella-diff-"));
    const snapshotter = await createSnapshotter(directory, createTreeDriver());
    try {
      const base = memoryTree([{ path: "d/a" }, { path: "d/b" }, { path: "e", content: "x" }]);
      const upper = memoryTree([{ path: "d/c" }, { path: "e", content: "y" }]);
      const tar = await diffTar(base, upper);
      await snapshotter.prepare("extract");
      await snapshotter.apply("extract", chunksOf(await diffTar(memoryTree([]), base)));
      await snapshotter.commit("base", "extract");
      await snapshotter.prepare("key", "base");
      await snapshotter.apply("key", chunksOf(tar));
      expect(snapshotter.openChanges).toBeDefined();
      const known = collect();
      await diffSnapshot(snapshotter, "key", known, { compression: "none" });
      expect(known.bytes().equals(tar)).toBe(true);
      delete snapshotter.openChanges;
      const compared = collect();
      await diffSnapshot(snapshotter, "key", compared, { compression: "none" });
      expect(compared.bytes().equals(tar)).toBe(true);
    } finally {
      await snapshotter[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    }
  });
});

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

describe("packDiff()", () => {
  const before = memoryTree([{ path: "a", content: "x" }]);
  const after = memoryTree([
    { path: "a", content: "y" },
    { path: "s", kind: "socket" },
  ]);

  it.each(["none", "gzip"] as const)("describes what it has written (%s)", async (compression) => {
    const output = collect();
    const packed = await packDiff(before, after, output, { compression });
    const tar = await diffTar(before, after);
    expect(packed).toEqual({
      mediaType: `application/vnd.oci.image.layer.v1.tar${compression === "none" ? "" : "+gzip"}`,
      digest: digestOf(output.bytes()),
      size: output.bytes().length,
      diffID: digestOf(tar),
      uncompressedSize: tar.length,
      entryCount: 1,
      omittedSockets: 1,
    });
  });

  it("tells how far it is", async () => {
    const large = memoryTree([
      { path: "a", content: { size: 5_000_000, fill: (at: number) => (at * at) >> 3 } },
      { path: "b" },
    ]);
    const told: DiffProgress[] = [];
    const packed = await packDiff(before, large, collect(), {
      compression: "none",
      onProgress: (progress) => told.push(progress),
    });
    expect(told.length).toBeGreaterThan(10);
    expect(told[0]).toMatchObject({ entries: 1 });
    expect(told.at(-1)).toEqual({ entries: 2, bytes: packed.size });
    const bytes = told.map((progress) => progress.bytes);
    expect(bytes).toEqual(bytes.toSorted((one, other) => one - other));
  });

  it("passes an error of the output on", async () => {
    const write = (): Promise<never> => Promise.reject(new Error("no space"));
    await expect(packDiff(before, after, { write })).rejects.toThrow("no space");
  });
});

function baseLayers(spec: MemoryTreeSpec) {
  return [memoryLayer(spec)];
}
