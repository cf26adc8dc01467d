import { chmod, lstat } from "node:fs/promises";
import { resolve } from "node:path";

import type { CallOptions } from "@lamella/refs";

import { displayPath } from "../../display-path.js";
import { LayerFormatError } from "../../errors.js";
import type { FileTree } from "../../file-tree.js";
import type { Layer } from "../../layer.js";
import { createLossCollector } from "../../losses.js";
import { mergeStepwise } from "../../merge/merge.js";
import { splitPath } from "../../merge/path.js";
import { readTreeNodes, type TreeNode } from "../../overlay/tree-nodes.js";
import { layerOfTree } from "../../tree-layer.js";
import { hostPath } from "../directory/directory-tree-scan.js";
import { type DirectoryChanges, directoryChanges } from "./directory-changes.js";
import { remakeDirectory, removePath } from "./remove.js";
import { tarEntries } from "./tar-entries.js";
import { extract } from "./tar-process.js";
import { isRoot, synchronize, type Unpacked, type UnpackOptions } from "./unpack-tree.js";

/**
 * Lays a layer on a directory (OCI image-spec, layer.md, "Applying Changesets"): one that shows `lower` shows what `mergeLayers` makes of `lower` and the
 * layer. Removed is what goes or becomes something else; written is what is new or changed, as `unpackTree` does; all else stays as it is. A file of `lower`
 * whose attributes alone change is written anew.
 *
 * `lower` is read while the directory changes, so that it must not be a tree of this very directory, but may be one of which it is a copy. Both are borrowed,
 * `lower` and the layer. Where this rejects, the directory is left as far as it came.
 *
 * @throws {LayerFormatError} what `mergeLayers` and `unpackTree` throw; `tree_changed` where the directory does not have a directory of `lower`; `unpack_failed` where its
 * root would have to lose extended attributes
 */
export async function unpackLayer(
  lower: FileTree,
  layer: Layer,
  directory: string,
  options: UnpackOptions = {},
): Promise<Unpacked> {
  const { asRoot = isRoot(), durable = false, signal } = options;
  signal?.throwIfAborted();
  const root = resolve(directory);
  const nodes: TreeNode[] = [];
  let merged = lower;
  for await (const tree of mergeStepwise([await layerOfTree(lower, { signal }), layer], { from: 1, signal })) {
    nodes.push(await readTreeNodes(tree, { signal }));
    merged = tree;
  }
  const changes = directoryChanges(...(nodes as [TreeNode, TreeNode]));
  await clear(root, changes, { signal });
  const losses = createLossCollector();
  let entries = 0;
  let bytes = 0;
  const onEntry = (fileBytes: number): void => {
    entries += 1;
    bytes += fileBytes;
  };
  const input = tarEntries(merged, changes.written, { asRoot, there: changes.there, losses, onEntry });
  await extract(input, { directory: root, asRoot, losses, signal });
  if (durable) await synchronize(root, { signal });
  return { entries, bytes, losses: losses.list() };
}

/** Takes away what is in the way of what is written. */
async function clear(
  root: string,
  { touched, removed, remade }: DirectoryChanges,
  { signal }: CallOptions,
): Promise<void> {
  if (remade.includes("")) {
    const why = "its root would have to lose extended attributes";
    throw new LayerFormatError("unpack_failed", `cannot unpack into ${JSON.stringify(root)}: ${why}`);
  }
  const known = new Set<string>();
  for (const path of touched) {
    signal?.throwIfAborted();
    await requireDirectories(root, path, known);
    if (!isRoot()) await openToOwner(hostPath(root, path));
  }
  for (const path of removed) {
    signal?.throwIfAborted();
    await removePath(hostPath(root, path));
  }
  // The deepest come first.
  for (const path of remade) await remakeDirectory(hostPath(root, path));
}

/** No symlink may stand where a directory is taken to be. */
async function requireDirectories(root: string, path: string, known: Set<string>): Promise<void> {
  if (known.has(path)) return;
  if (path !== "") await requireDirectories(root, splitPath(path).parent, known);
  const status = await lstat(hostPath(root, path)).catch(() => undefined);
  if (status?.isDirectory() !== true) {
    const where = JSON.stringify(root);
    throw new LayerFormatError("tree_changed", `cannot unpack into ${where}: "${displayPath(path)}" is no directory`);
  }
  known.add(path);
}

async function openToOwner(directory: Buffer): Promise<void> {
  const { mode } = await lstat(directory);
  await chmod(directory, mode | 0o700);
}
