import assert from "node:assert/strict";
import { chmod, mkdtemp } from "node:fs/promises";
import { join } from "node:path";

import { compareTrees, displayPath, type EntryAspect, type FileTree } from "@lamella/layer-format";
import { openDirectoryTree } from "@lamella/layer-format/node";

import type { SnapshotErrorCode } from "../errors.js";
import { changes, type FileChange } from "./file-changes.js";
import { isRoot, type TestSnapshotter } from "./suite.js";

export async function expectCode(call: Promise<unknown>, code: SnapshotErrorCode): Promise<void> {
  await assert.rejects(call, (error: Error & { code?: string }) => {
    assert.equal(error.code, code, `${error.message} (${String(error.code)})`);
    return true;
  });
}

/** That two trees are the same in everything that is not ignored. */
export async function expectSameTree(
  actual: FileTree,
  expected: FileTree,
  ignore: readonly EntryAspect[] = [],
): Promise<void> {
  const found: string[] = [];
  for await (const difference of compareTrees(expected, actual, { ignore })) {
    const aspects = difference.change === "changed" ? difference.aspects.join(", ") : difference.change;
    found.push(`"${displayPath(difference.entry.path)}": ${aspects}`);
  }
  assert.deepEqual(found, []);
}

/** A new snapshot by its name: what a change makes of a parent, through mounts. */
export async function commitChange(
  test: TestSnapshotter,
  name: string,
  { parent, change }: { parent?: string | undefined; change: FileChange },
): Promise<void> {
  const { snapshotter, mounted } = test;
  const key = `${name} (active)`;
  await mounted(await snapshotter.prepare(key, parent), change);
  await snapshotter.commit(name, key);
}

/** A directory that no snapshotter knows, of the mode that snapshots on nothing have. */
export async function flatDirectory({ work }: TestSnapshotter, change: FileChange = changes()): Promise<string> {
  const directory = await mkdtemp(join(work, "flat-"));
  await chmod(directory, 0o755);
  await change(directory);
  return directory;
}

export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** That a committed snapshot shows what a directory does, both through a mounted view and as a tree. Times are not looked at. */
export async function expectShows(test: TestSnapshotter, name: string, directory: string): Promise<void> {
  const { snapshotter, mounted } = test;
  await using expected = await openDirectoryTree(directory, { xattrs: true });
  const view = `${name} (view)`;
  await mounted(await snapshotter.view(view, name), async (target) => {
    await using shown = await openDirectoryTree(target, { xattrs: true });
    await expectSameTree(shown, expected, ["mtime"]);
  });
  await snapshotter.remove(view);
  await using tree = await snapshotter.openTree(name);
  await expectSameTree(tree, expected, isRoot ? ["mtime"] : ["mtime", "owner"]);
}

/** That a chain of snapshots, one for each change, shows at each of its places what the changes make of one directory. */
export async function expectChain(test: TestSnapshotter, steps: readonly FileChange[]): Promise<void> {
  const flat = await flatDirectory(test);
  const names: string[] = [];
  for (const change of steps) {
    const name = `${flat} ${names.length}`;
    await commitChange(test, name, { parent: names.at(-1), change });
    await change(flat);
    await expectShows(test, name, flat);
    names.push(name);
  }
}
