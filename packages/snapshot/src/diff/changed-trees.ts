import { createTreeLayer, mergeLayers, tarLinkTo } from "@lamella/layer-format";
import type { Entry, FileTree, Layer, LayerDraft } from "@lamella/layer-format";
import { digestOf } from "@lamella/refs";
import type { CallOptions, Digest } from "@lamella/refs";

import { ChangeScope } from "./change-scope.js";

/** Two trees to compare. They borrow what they were made of and are not to be closed. */
export interface ChangedTrees {
  readonly lower: FileTree;
  readonly upper: FileTree;
}

/**
 * What a diff of `lower` with what `changes` makes of it has to see of both: not all of their names, but the same layer comes out. The names of `lower` are
 * walked, its files are not read.
 */
export async function changedTrees(lower: FileTree, changes: Layer, options: CallOptions): Promise<ChangedTrees> {
  const scope = ChangeScope.of(changes.entries);
  const base = (scope && (await layerWithin(lower, scope, options))) ?? (await wholeLayer(lower, options));
  return { lower: await mergeLayers([base], options), upper: await mergeLayers([base, changes], options) };
}

/** @returns undefined where a path of the changes leads through what is no directory */
async function layerWithin(lower: FileTree, scope: ChangeScope, options: CallOptions): Promise<Layer | undefined> {
  for (;;) {
    const { size } = scope;
    const isWithin = scope.createFilter();
    const entries: Entry[] = [];
    const shared = new Map<number, string[]>();
    for await (const entry of lower.entries(options)) {
      const { path, kind } = entry;
      if (entry.links > 1) addName(shared, entry);
      if (!isWithin(path)) continue;
      if (kind !== "directory" && scope.isListed(path)) return undefined;
      entries.push(entry);
    }
    // All names of an inode belong together, wherever they are.
    for (const { inode } of entries) for (const path of shared.get(inode) ?? []) scope.listParents(path);
    if (scope.size === size) return treeLayer(lower, entries);
  }
}

function addName(names: Map<number, string[]>, { inode, path }: Entry): void {
  const known = names.get(inode);
  if (known === undefined) names.set(inode, [path]);
  else known.push(path);
}

async function wholeLayer(lower: FileTree, options: CallOptions): Promise<Layer> {
  const entries: Entry[] = [];
  for await (const entry of lower.entries(options)) entries.push(entry);
  return treeLayer(lower, entries);
}

/** Entries of a tree as a layer, in which files are the same only as themselves. */
function treeLayer(tree: FileTree, entries: readonly Entry[]): Layer {
  const firstNames = new Map<number, string>();
  const files = new Map<string, Entry>();
  const described: LayerDraft["entries"][number][] = [];
  for (const entry of entries) {
    const first = firstNames.get(entry.inode);
    if (entry.links > 1) firstNames.set(entry.inode, first ?? entry.path);
    if (first === undefined && entry.kind === "file") files.set(entry.path, entry);
    described.push(first === undefined ? entry : tarLinkTo(entry, first));
  }
  return createTreeLayer(tree, { diffID: anyDigest(), entries: described, files });
}

function anyDigest(): Digest {
  return digestOf(crypto.getRandomValues(new Uint8Array(32)));
}
