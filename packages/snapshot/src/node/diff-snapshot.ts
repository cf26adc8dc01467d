import { mergeLayers } from "@lamella/layer-format";
import type { FileTree } from "@lamella/layer-format";
import type { LayerOutput } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";

import { changedTrees } from "../diff/changed-trees.js";
import type { Snapshotter } from "../snapshotter.js";
import { packDiff } from "./diff-pack.js";
import type { PackDiffOptions, PackedDiff } from "./diff-pack.js";

export interface DiffSnapshotOptions extends PackDiffOptions {
  /** What the snapshot is compared with instead of its own parent: any other one. */
  parent?: string | undefined;
}

/**
 * Writes what a snapshot changes of its parent as a layer. The bytes are those of {@link packDiff} of both trees; but where the snapshotter knows the
 * changes ({@link Snapshotter.openChanges}), only they are compared.
 *
 * An active snapshot must not change on the way.
 *
 * @throws {SnapshotError} `not_found`; `unsupported` for a name that begins with `.wh.`. Otherwise as {@link packDiff}, and what opening the trees throws.
 */
export async function diffSnapshot(
  snapshotter: Snapshotter,
  key: string,
  output: LayerOutput,
  { parent, ...options }: DiffSnapshotOptions = {},
): Promise<PackedDiff> {
  const call = { signal: options.signal };
  const info = await snapshotter.stat(key, call);
  await using lower = await openParent(snapshotter, parent ?? info.parent, call);
  if ((parent ?? info.parent) !== info.parent || snapshotter.openChanges === undefined) {
    await using upper = await snapshotter.openTree(key, call);
    return await packDiff(lower, upper, output, options);
  }
  await using changes = await snapshotter.openChanges(key, call);
  const trees = await changedTrees(lower, changes, call);
  return await packDiff(trees.lower, trees.upper, output, options);
}

function openParent(snapshotter: Snapshotter, name: string | undefined, call: CallOptions): Promise<FileTree> {
  return name === undefined ? mergeLayers([], call) : snapshotter.openTree(name, call);
}
