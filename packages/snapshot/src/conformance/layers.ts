import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { mergeLayers } from "@lamella/layer-format";
import { openDirectoryTree, openLayer, writeLayer } from "@lamella/layer-format/node";
import type { MemoryLayerSpec } from "@lamella/layer-format/testing";
import { type Digest, digestOf } from "@lamella/refs";

import { commitChange, expectCode, expectSameTree } from "./expectations.js";
import { changes, directory, file, removed } from "./file-changes.js";
import { inPieces, layerTar } from "./layer-tar.js";
import { type ConformanceGroup, isRoot, type TestSnapshotter, withSnapshotter } from "./suite.js";

const time = { seconds: 1_234_567_890, nanoseconds: 123_456_789 };
const file1 = { path: "d/file", content: "content", mode: 0o640, uid: 1000, gid: 2000, mtime: time };

const FIRST: MemoryLayerSpec = [
  { path: "", kind: "directory", mode: 0o755, mtime: 7 },
  { path: "d", kind: "directory", mode: 0o1777, uid: 3, gid: 4, mtime: time },
  file1,
  { path: "d/link", hardlinkTo: "d/file" },
  {
    path: "d/setuid",
    content: "run me",
    mode: 0o4755,
    xattrs: { "user.note": "a\0b", "security.capability": capability() },
  },
  { path: "d/symlink", linkTarget: "../nowhere", uid: 5, mtime: time },
  { path: "gone/deep/file", content: "x" },
  { path: "gone/other", content: "y" },
  { path: "opaque/one", content: "1" },
  { path: "opaque/two", content: "2" },
  { path: "replaced", content: "file" },
  { path: "null", kind: "char", device: { major: 1, minor: 3 }, mode: 0o666, mtime: time },
  { path: "pipe", kind: "fifo", mode: 0o600, mtime: time },
  { path: "sparse", content: new Uint8Array(1 << 20), extents: [{ offset: 1 << 19, length: 4096 }] },
];

const SECOND: MemoryLayerSpec = [
  { path: "d/file", kind: "whiteout" },
  { path: "gone", kind: "whiteout" },
  { path: "opaque", kind: "directory", mtime: time },
  { path: "opaque/new", content: "n", mtime: time },
  { path: "opaque", kind: "opaque" },
  { path: "replaced", kind: "directory" },
  { path: "replaced/inside", content: "i" },
  { path: "d/link2", kind: "hardlink", linkTarget: "d/link" },
];

const THIRD: MemoryLayerSpec = [
  { path: "gone/again", content: "a" },
  { path: "opaque/one", content: "back" },
  { path: "d/symlink", kind: "whiteout" },
  { path: "replaced", kind: "whiteout" },
];

/** A version 2 capability set, as the kernel wants it. */
function capability(): Uint8Array {
  const value = new Uint8Array(20);
  value.set([1, 0, 0, 2, 0, 4]);
  return value;
}

/** What layers of these make together, in an archive of each. */
async function expectLayers(
  { work, snapshotter }: TestSnapshotter,
  name: string,
  specs: readonly MemoryLayerSpec[],
): Promise<void> {
  const layers = [];
  for (const spec of specs) {
    const tar = await layerTar(spec);
    const archive = join(work, digestOf(tar).replace(":", "-"));
    await writeLayer(archive, inPieces(tar));
    layers.push(await openLayer(archive));
  }
  await using expected = await mergeLayers(layers);
  await using actual = await snapshotter.openTree(name);
  await expectSameTree(actual, expected);
}

async function applied(test: TestSnapshotter, key: string, spec: MemoryLayerSpec): Promise<Digest> {
  const tar = await layerTar(spec);
  const { diffID, uncompressedSize } = await test.snapshotter.apply(key, inPieces(tar));
  assert.equal(diffID, digestOf(tar));
  assert.equal(uncompressedSize, tar.length);
  return diffID;
}

export function layerTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  describe("a layer's tar", () => {
    it(
      "is applied with everything that it says",
      withSnapshotter(group, async (test) => {
        await test.snapshotter.prepare("key");
        await applied(test, "key", FIRST);
        await expectLayers(test, "key", [FIRST]);
        await test.snapshotter.commit("name", "key");
        await expectLayers(test, "name", [FIRST]);
      }),
    );

    it(
      "is applied to what its parents show, with whiteouts and opaque directories",
      withSnapshotter(group, async (test) => {
        const { snapshotter } = test;
        let parent: string | undefined;
        for (const [index, spec] of [FIRST, SECOND, THIRD].entries()) {
          await snapshotter.prepare("key", parent);
          await applied(test, "key", spec);
          parent = `layer ${index}`;
          await snapshotter.commit(parent, "key");
          await expectLayers(test, parent, [FIRST, SECOND, THIRD].slice(0, index + 1));
        }
      }),
    );

    it(
      "is applied on another to one active snapshot",
      withSnapshotter(group, async (test) => {
        const { snapshotter } = test;
        await snapshotter.prepare("base");
        await applied(test, "base", FIRST);
        await snapshotter.commit("committed", "base");
        await snapshotter.prepare("key", "committed");
        await applied(test, "key", SECOND);
        await applied(test, "key", THIRD);
        await expectLayers(test, "key", [FIRST, SECOND, THIRD]);
        await snapshotter.commit("name", "key");
        await expectLayers(test, "name", [FIRST, SECOND, THIRD]);
      }),
    );

    it(
      "lies on what was written through mounts before, and below what is written after",
      withSnapshotter(group, async (test) => {
        const { snapshotter, mounted } = test;
        await commitChange(test, "base", {
          change: changes(directory("d"), file("d/below", "below"), file("kept", "kept")),
        });
        const mounts = await snapshotter.prepare("key", "base");
        await mounted(mounts, changes(file("d/own", "own"), removed("d/below"), file("replaced", "own")));
        const spec = [
          { path: "d/applied", content: "applied" },
          { path: "replaced", content: "applied over" },
        ];
        await snapshotter.apply("key", inPieces(await layerTar(spec)));
        await mounted(await snapshotter.mounts("key"), async (root) => {
          assert.equal(await readFile(join(root, "d/applied"), "utf8"), "applied");
          await changes(file("d/after", "after"), removed("kept"))(root);
        });
        await snapshotter.commit("name", "key");
        await using tree = await snapshotter.openTree("name");
        const sizes: Record<string, number> = {};
        for await (const { path, kind, size } of tree.entries()) if (kind === "file") sizes[path] = size;
        assert.deepEqual(sizes, { "d/after": 5, "d/applied": 7, "d/own": 3, replaced: 12 });
      }),
    );

    it(
      "is not read where there is an archive of it",
      withSnapshotter(group, async (test) => {
        const { snapshotter, work } = test;
        const tar = await layerTar(FIRST);
        const archive = join(work, "archive");
        await writeLayer(archive, inPieces(tar));
        await snapshotter.prepare("key");
        const diffID = digestOf(tar);
        const wrong = { archive, diffID: digestOf(new Uint8Array()) };
        await assert.rejects(snapshotter.apply("key", inPieces(tar), wrong), { code: "digest_mismatch" });
        assert.equal((await snapshotter.apply("key", inPieces(tar), { archive, diffID })).diffID, diffID);
        await expectLayers(test, "key", [FIRST]);
      }),
    );

    it(
      "is applied whole or not at all",
      withSnapshotter(group, async (test) => {
        const { snapshotter } = test;
        const good = await layerTar(SECOND);
        await snapshotter.prepare("base");
        await applied(test, "base", FIRST);
        await snapshotter.commit("committed", "base");
        await snapshotter.prepare("key", "committed");
        await applied(test, "key", [
          { path: "own", content: "own" },
          { path: "gone", kind: "whiteout" },
        ]);
        await using before = await snapshotter.openTree("key");

        const other = digestOf(new Uint8Array(1));
        await assert.rejects(snapshotter.apply("key", inPieces(good), { diffID: other }), { code: "digest_mismatch" });
        await assert.rejects(snapshotter.apply("key", inPieces(good.subarray(0, 2000))), { code: "tar_invalid" });
        const dangling = await layerTar([{ path: "gone/x", kind: "hardlink", linkTarget: "nothing" }]);
        await assert.rejects(snapshotter.apply("key", inPieces(dangling)), { code: "layer_invalid" });
        const broken = new Error("the network is gone");
        await assert.rejects(snapshotter.apply("key", breaking(good, broken)), broken);
        const abort = new AbortController();
        const aborting = snapshotter.apply("key", stopping(good, abort), { signal: abort.signal });
        await assert.rejects(aborting, { name: "AbortError" });

        await using after = await snapshotter.openTree("key");
        await expectSameTree(after, before);
        await snapshotter.apply("key", inPieces(good));
      }),
    );

    it(
      "is applied to active snapshots only",
      withSnapshotter(group, async ({ snapshotter }) => {
        const tar = await layerTar(FIRST);
        await snapshotter.prepare("key");
        await snapshotter.commit("committed", "key");
        await snapshotter.view("view", "committed");
        await expectCode(snapshotter.apply("committed", inPieces(tar)), "failed_precondition");
        await expectCode(snapshotter.apply("view", inPieces(tar)), "failed_precondition");
        await expectCode(snapshotter.apply("none", inPieces(tar)), "not_found");
      }),
    );

    it(
      "waits for another one that is applied to the same snapshot",
      withSnapshotter(group, async ({ snapshotter }) => {
        await snapshotter.prepare("key");
        const specs = ["a", "b", "c"].map((path) => [{ path, content: path }]);
        const tars = await Promise.all(specs.map(layerTar));
        await Promise.all(tars.map((tar) => snapshotter.apply("key", inPieces(tar))));
        await using tree = await snapshotter.openTree("key");
        assert.equal(tree.entryCount, 4);
      }),
    );

    (isRoot ? it : it.skip)(
      "shows through mounts what it says",
      withSnapshotter(group, async (test) => {
        const { snapshotter, mounted } = test;
        await snapshotter.prepare("key");
        await applied(test, "key", FIRST);
        await snapshotter.commit("name", "key");
        await mounted(await snapshotter.view("view", "name"), async (root) => {
          await using shown = await openDirectoryTree(root, { xattrs: true });
          await using tree = await snapshotter.openTree("name");
          await expectSameTree(shown, tree);
        });
      }),
    );
  });
}

async function* breaking(tar: Uint8Array, error: Error): AsyncGenerator<Uint8Array> {
  yield tar.subarray(0, 2000);
  throw error;
}

async function* stopping(tar: Uint8Array, controller: AbortController): AsyncGenerator<Uint8Array> {
  yield tar.subarray(0, 2000);
  controller.abort();
  yield tar.subarray(2000);
}
