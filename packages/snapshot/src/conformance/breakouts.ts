import assert from "node:assert/strict";
import { mkdir, mkdtemp, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Entry, type FileTree, resolvePath } from "@lamella/layer-format";
import { openDirectoryTree } from "@lamella/layer-format/node";

import { removeDirectory } from "../node/snapshot-directory.js";
import { BREAKOUT_CASES, type BreakoutCase, chmodCase, type Expectation, overrideCase } from "./breakout-cases.js";
import { expectSameTree } from "./expectations.js";
import { changes, file } from "./file-changes.js";
import { inPieces } from "./layer-tar.js";
import { rawTar } from "./raw-tar.js";
import { type ConformanceGroup, type TestSnapshotter, withSnapshotter } from "./suite.js";

/** Layers that would reach out of the snapshot, if anything followed their names. */
export function breakoutTests(group: ConformanceGroup): void {
  const { describe, it } = group;
  describe("a layer cannot break out", () => {
    for (const breakout of BREAKOUT_CASES) {
      it(
        `by ${breakout.name}`,
        withSnapshotter(group, (test) => tryBreakout(test, breakout)),
      );
    }
    for (const make of [chmodCase, overrideCase]) {
      it(
        `by ${make("/").name}`,
        withSnapshotter(group, (test) => withOutside((outside) => tryBreakout(test, make(outside)))),
      );
    }
  });
}

/** Things that nobody may touch, in a directory with a short name. */
async function withOutside(use: (outside: string) => Promise<void>): Promise<void> {
  const outside = await mkdtemp(join(tmpdir(), "out-"));
  try {
    await changes(file("secret", "secret", 0o400), file("other", "other", 0o640))(outside);
    await mkdir(join(outside, "empty"));
    await symlink("secret", join(outside, "link"));
    await using before = await openDirectoryTree(outside);
    await use(outside);
    await using after = await openDirectoryTree(outside);
    await expectSameTree(after, before);
  } finally {
    await removeDirectory(outside);
  }
}

async function tryBreakout(
  { snapshotter }: TestSnapshotter,
  { base = [], layer, expect }: BreakoutCase,
): Promise<void> {
  await snapshotter.prepare("base");
  await snapshotter.apply("base", inPieces(rawTar(base)));
  await snapshotter.commit("parent", "base");
  await snapshotter.prepare("key", "parent");
  const applying = snapshotter.apply("key", inPieces(rawTar(layer)));
  if (expect === undefined) {
    await assert.rejects(applying, { code: "layer_invalid" });
    await using parent = await snapshotter.openTree("parent");
    await using tree = await snapshotter.openTree("key");
    await expectSameTree(tree, parent);
    return;
  }
  await applying;
  await snapshotter.commit("child", "key");
  await using tree = await snapshotter.openTree("child");
  await check(tree, expect);
}

async function check(tree: FileTree, expect: Expectation): Promise<void> {
  const { content = {}, same = [], different = [], missing = [], symlinks = {} } = expect;
  for (const [path, text] of Object.entries(content)) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of tree.read(await follow(tree, path))) chunks.push(chunk.slice());
    assert.equal(Buffer.concat(chunks).toString(), text, path);
  }
  const inode = async (path: string): Promise<number> => (await follow(tree, path)).inode;
  for (const [one, other] of same) assert.equal(await inode(one), await inode(other), one);
  for (const [one, other] of different) assert.notEqual(await inode(one), await inode(other), one);
  for (const path of missing) assert.equal(await tree.lookup(path), undefined, path);
  for (const [path, target] of Object.entries(symlinks))
    assert.equal((await tree.lookup(path))?.linkTarget, target, path);
}

async function follow(tree: FileTree, path: string): Promise<Entry> {
  const entry = await resolvePath(tree, path);
  assert.ok(entry !== undefined, `nothing at ${path}`);
  return entry;
}
