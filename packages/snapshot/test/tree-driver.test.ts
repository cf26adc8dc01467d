import { mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { compareTrees, type FileTree, mergeLayers, writeTar } from "@lamella/layer-format";
import { writeLayer } from "@lamella/layer-format/node";
import { memoryLayer, type MemoryLayerSpec } from "@lamella/layer-format/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { SnapshotPlace } from "../src/driver.js";
import { createTreeDriver } from "../src/node/tree-driver.js";

const DIGEST = `sha256:${"0".repeat(64)}` as const;

const base: MemoryLayerSpec = [
  { path: "", kind: "directory", mode: 0o700, mtime: 5 },
  { path: "bin", kind: "directory", mode: 0o755, uid: 3, gid: 4, mtime: { seconds: 7, nanoseconds: 123456789 } },
  { path: "bin/sh", content: "the shell", mode: 0o4755, mtime: 8, xattrs: { "security.capability": "cap" } },
  { path: "bin/ash", hardlinkTo: "bin/sh" },
  { path: "null", kind: "char", device: { major: 1, minor: 3 } },
  { path: "gone", content: "gone" },
];
const upper: MemoryLayerSpec = [
  { path: "gone", kind: "whiteout" },
  { path: "new", content: "new", mtime: 9 },
];

describe("createTreeDriver()", () => {
  const driver = createTreeDriver();
  let root: string;
  let count: number;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "lamella-tree-driver-"));
    count = 0;
  });
  afterEach(() => rm(root, { recursive: true }));

  it("shows what its layers make together, each on its parents", async () => {
    const lower = await snapshotOf([base]);
    const place = await snapshotOf([upper], [lower]);
    expect(await differences(await driver.openTree(place, {}), [base, upper])).toEqual([]);
    expect(await differences(await driver.openTree(lower, {}), [base])).toEqual([]);
    const view = await create("view", [lower, place]);
    expect(await differences(await driver.openTree(view, {}), [base, upper])).toEqual([]);
  });

  it("tells the layer itself as its changes, and of several one that does the same", async () => {
    const lower = await snapshotOf([base]);
    const single = await snapshotOf([upper], [lower]);
    await using changes = await driver.openChanges!(single, {});
    expect(changes.entries.map(({ path, kind }) => [path, kind])).toEqual([
      ["gone", "whiteout"],
      ["new", "file"],
    ]);

    const third: MemoryLayerSpec = [
      { path: "new", kind: "whiteout" },
      { path: "bin/sh", content: "another", mtime: 10 },
    ];
    const several = await snapshotOf([upper, third], [lower]);
    await using joined = await driver.openChanges!(several, {});
    await using tree = await mergeLayers([memoryLayer(base), joined]);
    expect(await differences(tree, [base, upper, third])).toEqual([]);

    await using none = await driver.openChanges!(await snapshotOf([], [lower]), {});
    expect(none.entries).toEqual([]);
  });

  it("leaves nothing of a layer that has another diffID, breaks off, or cannot be applied", async () => {
    const place = await snapshotOf([base]);
    await expect(driver.apply(place, tarOf(upper), { diffID: DIGEST })).rejects.toMatchObject({
      code: "digest_mismatch",
    });
    const halfway = tarOf([{ path: "half", content: { size: 1 << 20, fill: 1 } }], new Error("broken off"));
    await expect(driver.apply(place, halfway, {})).rejects.toThrow("broken off");
    const impossible = tarOf([{ path: "bin/sh/below", content: "" }]);
    await expect(driver.apply(place, impossible, {})).rejects.toMatchObject({ code: "layer_invalid" });
    const dangling = tarOf([{ path: "link", kind: "hardlink", linkTarget: "nothing" }]);
    await expect(driver.apply(place, dangling, {})).rejects.toMatchObject({ code: "layer_invalid" });
    expect(await differences(await driver.openTree(place, {}), [base])).toEqual([]);
    expect((await readdir(place.directory)).toSorted()).toEqual(["base", "layers"]);
    expect(await readdir(join(place.directory, "layers"))).toEqual(["0001"]);
  });

  it("takes a layer's archive instead of its tar, as the same files", async () => {
    const archive = join(root, "archive");
    const { diffID } = await writeLayer(archive, tarOf(base));
    const place = await snapshotOf([]);
    const unread: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => {
        throw new Error("the tar is read");
      },
    };
    await expect(driver.apply(place, unread, { archive, diffID: DIGEST })).rejects.toMatchObject({
      code: "digest_mismatch",
    });
    const applied = await driver.apply(place, unread, { archive, diffID });
    expect(applied.diffID).toBe(diffID);
    expect(await differences(await driver.openTree(place, {}), [base])).toEqual([]);
    const contents = await stat(join(place.directory, "layers/0001/contents"));
    expect(contents.ino).toBe((await stat(join(archive, "contents"))).ino);
  });

  it("checks its layers against the parent that a commit gives it", async () => {
    const dangling: MemoryLayerSpec = [{ path: "below/file", content: "" }];
    const place = await snapshotOf([dangling]);
    const file = await snapshotOf([[{ path: "below", content: "a file" }]]);
    await expect(driver.commit({ ...place, parents: [file.directory] }, {})).rejects.toMatchObject({
      code: "layer_invalid",
    });
    await driver.commit({ ...place, parents: [(await snapshotOf([base])).directory] }, {});
    await driver.commit(place, {});
  });

  it("removes what killed processes have left when it commits", async () => {
    const place = await snapshotOf([base]);
    await mkdir(join(place.directory, "incoming-dead"));
    await driver.commit(place, {});
    expect(await readdir(place.directory)).not.toContain("incoming-dead");
  });

  it("measures what is its own", async () => {
    const big: MemoryLayerSpec = [
      { path: "big", content: { size: 1 << 20, fill: 7 } },
      { path: "link", hardlinkTo: "big" },
    ];
    const lower = await snapshotOf([big]);
    const child = await snapshotOf([upper], [lower]);
    const { bytes } = await driver.usage(lower, {});
    expect(bytes).toBeGreaterThanOrEqual(1 << 20);
    expect(bytes).toBeLessThan(2 << 20);
    expect((await driver.usage(child, {})).bytes).toBeLessThan(1 << 20);
    expect(await driver.usage(await create("view", [lower]), {})).toEqual({ bytes: 0, inodes: 0 });
  });

  it("follows the signal", async () => {
    const place = await snapshotOf([base]);
    const reason = new Error("stop");
    const signal = AbortSignal.abort(reason);
    await expect(driver.apply(place, tarOf(upper), { signal })).rejects.toBe(reason);
    await expect(driver.openTree(place, { signal })).rejects.toBe(reason);
    await expect(driver.openChanges!(place, { signal })).rejects.toBe(reason);
    await expect(driver.commit(place, { signal })).rejects.toBe(reason);
    await expect(driver.usage(place, { signal })).rejects.toBe(reason);
  });

  async function create(kind: SnapshotPlace["kind"], below: readonly SnapshotPlace[]): Promise<SnapshotPlace> {
    const id = String(++count);
    const directory = join(root, id);
    await mkdir(directory);
    const place = { id, directory, kind, parents: below.map((lower) => lower.directory) };
    await driver.create(place, {});
    return place;
  }

  async function snapshotOf(
    layers: readonly MemoryLayerSpec[],
    below: readonly SnapshotPlace[] = [],
  ): Promise<SnapshotPlace> {
    const place = await create("active", below);
    for (const layer of layers) await driver.apply(place, tarOf(layer), {});
    return place;
  }
});

async function differences(shown: FileTree, layers: readonly MemoryLayerSpec[]): Promise<unknown[]> {
  await using tree = shown;
  await using meant = await mergeLayers(layers.map((layer) => memoryLayer(layer)));
  const found: unknown[] = [];
  for await (const difference of compareTrees(meant, tree)) found.push(difference);
  return found;
}

async function* tarOf(spec: MemoryLayerSpec, end?: Error): AsyncGenerator<Uint8Array> {
  const { entries, readContents } = memoryLayer(spec);
  yield* writeTar(
    (async function* () {
      for (const entry of entries) {
        const { size, contentOffset } = entry;
        yield { ...entry, contents: (options) => readContents(contentOffset, size, options) };
      }
    })(),
  );
  if (end !== undefined) throw end;
}
