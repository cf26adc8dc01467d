import { type CallOptions, type Digest, digestOf } from "@lamella/refs";

import type { Entry, FileTree } from "./file-tree.js";
import type { Layer, LayerEntry } from "./layer.js";
import { tarLinkTo } from "./tar/tree-entry.js";

/** A run of a tree's data, as it lies in the contents. */
interface Run {
  readonly start: number;
  readonly length: number;
  readonly entry: Entry;
  /** Within the file. */
  readonly offset: number;
}

/** What a layer says, before its files have a place in its contents. */
export interface LayerDraft {
  readonly diffID: Digest;
  /** In the layer's order; a file is described once, its further names are hard links. */
  readonly entries: readonly Omit<LayerEntry, "contentOffset">[];
  /** By the path of a file's entry here: the one of the tree to read. */
  readonly files: ReadonlyMap<string, Entry>;
}

/** A layer whose files are read from a tree, laid end to end without their holes in the order in which the tree reads best. It takes the tree over. */
export function createTreeLayer(tree: FileTree, { diffID, entries, files }: LayerDraft): Layer {
  const runs: Run[] = [];
  const offsets = new Map<string, number>();
  let end = 0;
  for (const [path, entry] of [...files].sort(([, one], [, other]) => one.locality - other.locality)) {
    offsets.set(path, end);
    for (const { offset, length } of entry.extents ?? [{ offset: 0, length: entry.size }]) {
      if (length > 0) runs.push({ start: end, length, entry, offset });
      end += length;
    }
  }
  return {
    diffID,
    entries: entries.map((entry) => ({ ...entry, contentOffset: offsets.get(entry.path) ?? 0 })),
    readContents: (offset, length, options) => readRuns(tree, runs, { ...options, offset, length }),
    [Symbol.asyncDispose]: () => tree[Symbol.asyncDispose](),
  };
}

/** A tree as the lowest layer. Closing it closes the tree. */
export async function layerOfTree(tree: FileTree, { signal }: CallOptions): Promise<Layer> {
  const entries: Omit<LayerEntry, "contentOffset">[] = [];
  const files = new Map<string, Entry>();
  const firstNames = new Map<number, string>();
  for await (const entry of tree.entries({ signal })) {
    const first = firstNames.get(entry.inode);
    if (first === undefined && entry.links > 1) firstNames.set(entry.inode, entry.path);
    if (first === undefined && entry.kind === "file") files.set(entry.path, entry);
    entries.push(first === undefined ? entry : tarLinkTo(entry, first));
  }
  return createTreeLayer(tree, { diffID: randomDiffID(), entries, files });
}

/** Of a layer that no tar stands for. */
export function randomDiffID(): Digest {
  return digestOf(crypto.getRandomValues(new Uint8Array(32)));
}

async function* readRuns(
  tree: FileTree,
  runs: readonly Run[],
  { offset, length, signal }: CallOptions & { offset: number; length: number },
): AsyncGenerator<Uint8Array> {
  const end = offset + length;
  let at = offset;
  for (let index = firstRun(runs, offset); at < end; index++) {
    const run = runs[index];
    if (run === undefined) throw new RangeError(`cannot read to ${end}: the contents end at ${at}`);
    const count = Math.min(run.start + run.length, end) - at;
    yield* tree.read(run.entry, { offset: run.offset + at - run.start, length: count, signal });
    at += count;
  }
}

/** The first that ends after `offset`. */
function firstRun(runs: readonly Run[], offset: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle];
    if (run !== undefined && run.start + run.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
