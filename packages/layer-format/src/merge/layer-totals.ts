import type { CallOptions } from "@lamella/refs";

import type { ChangeLog } from "./change-log.js";
import type { Directory, Leaf } from "./inode.js";
import { dataBytes, surveyLayer } from "./layer-survey.js";
import { ENTRIES_A_TURN, nextTurn } from "./merge.js";

/** Anything but directories, each once, however many names it has; bytes are those of files, without their holes. */
export interface FileTotal {
  readonly files: number;
  readonly bytes: number;
}

/**
 * What a layer does to the tree of those below it. A name that it brings anew where one was is changed, even if it brings the same again. A hard link to a file of a lower
 * layer adds a file and no bytes. `added` and `changed` together are what the layer's own files have.
 */
export interface LayerTotals {
  readonly added: FileTotal;
  readonly changed: FileTotal;
  /** Files that lose a name without another in its place; bytes of those that have no name left. */
  readonly removed: FileTotal;
  /** Of the layer's own files, those that layers above replace or remove. */
  readonly wastedBytes: number;
}

/** Adds up what each layer does, from the base on. */
export async function sumLayers(log: ChangeLog, root: Directory, { signal }: CallOptions): Promise<LayerTotals[]> {
  const names = new Map<Leaf, number>();
  const totals: Omit<LayerTotals, "wastedBytes">[] = [];
  let untilTurn = ENTRIES_A_TURN;
  for (const [layer, touched] of log.touched.entries()) {
    totals.push(sumLayer(log, layer, root, names));
    for (const { size } of touched.values()) untilTurn -= size;
    if (untilTurn > 0) continue;
    untilTurn = ENTRIES_A_TURN;
    await nextTurn();
    signal?.throwIfAborted();
  }
  const visibleBytes = totals.map(() => 0);
  for (const leaf of names.keys()) visibleBytes[leaf.layer] = (visibleBytes[leaf.layer] ?? 0) + dataBytes(leaf);
  return totals.map((total, layer) => {
    const wastedBytes = total.added.bytes + total.changed.bytes - (visibleBytes[layer] ?? 0);
    return { ...total, wastedBytes };
  });
}

/** @param names how many each file has; here before the layer, afterwards after it */
function sumLayer(
  log: ChangeLog,
  layer: number,
  root: Directory,
  names: Map<Leaf, number>,
): Omit<LayerTotals, "wastedBytes"> {
  const added = new Set<Leaf>();
  const changed = new Set<Leaf>();
  const removed = new Set<Leaf>();
  const lost = new Set<Leaf>();
  surveyLayer(log, layer, root, (before, after) => {
    if (before !== undefined) {
      names.set(before, (names.get(before) ?? 0) - 1);
      lost.add(before);
      if (after === undefined) removed.add(before);
    }
    if (after === undefined) return;
    names.set(after, (names.get(after) ?? 0) + 1);
    (before === undefined ? added : changed).add(after);
  });
  for (const leaf of lost) if (names.get(leaf) === 0) names.delete(leaf);
  for (const leaf of changed) added.delete(leaf);
  const isOwn = (leaf: Leaf): boolean => leaf.layer === layer;
  return {
    added: total(added, isOwn),
    changed: total(changed, isOwn),
    removed: total(removed, (leaf) => !names.has(leaf)),
  };
}

function total(leaves: ReadonlySet<Leaf>, counts: (leaf: Leaf) => boolean): FileTotal {
  let bytes = 0;
  for (const leaf of leaves) if (counts(leaf)) bytes += dataBytes(leaf);
  return { files: leaves.size, bytes };
}

/** The data of all files below each directory; of a file of several names at the first of those. */
export function sumTree(root: Directory): ReadonlyMap<Directory, number> {
  const sums = new Map<Directory, number>();
  const counted = new Set<Leaf>();
  const sum = (directory: Directory): number => {
    let bytes = 0;
    for (const { inode } of directory.children.values()) {
      if (inode.children !== undefined) bytes += sum(inode);
      else if (inode.links < 2 || !counted.has(inode)) {
        if (inode.links > 1) counted.add(inode);
        bytes += dataBytes(inode);
      }
    }
    sums.set(directory, bytes);
    return bytes;
  };
  sum(root);
  return sums;
}
