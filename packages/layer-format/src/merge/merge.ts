import type { CallOptions } from "@lamella/refs";

import type { Layer } from "../layer.js";
import { applyEntry } from "./apply-entry.js";
import { type ChangeLog, createChangeLog, logLayer } from "./change-log.js";
import type { Directory } from "./inode.js";
import { createMergeState, type MergeLimits, type MergeState } from "./state.js";
import { createMergedTree, type LayeredTree } from "./merged-tree.js";

export interface MergeOptions extends CallOptions {
  limits?: Partial<MergeLimits>;
}

/** Entries between two turns of the event loop, in which a signal can be aborted. */
export const ENTRIES_A_TURN = 32_768;

/**
 * The file system that layers make together, the lowest first (OCI image-spec, layer.md, "Applying Changesets").
 *
 * Entries are applied in the order of their tars, the last one wins. Parents are resolved inside the image, through its
 * symlinks; the last component of a path is replaced, never followed; missing parents are 0755, owned by root, of time 0.
 * A whiteout removes what lower layers have, wherever it stands in its layer. Hard links share an inode across layers.
 * No bytes are read.
 *
 * The tree takes over the layers: closing it closes them. If this rejects, they are still the caller's to close.
 *
 * @throws {LayerFormatError} `layer_invalid` (a file or a loop of symlinks as a parent, a hard link to nothing or to a directory, a root
 * that is no directory) or `layer_limit`; the message names the entry and its layer.
 */
export async function mergeLayers(layers: readonly Layer[], options: MergeOptions = {}): Promise<LayeredTree> {
  options.signal?.throwIfAborted();
  const state = createMergeState(layers, options.limits);
  const pace = { untilTurn: ENTRIES_A_TURN };
  for (const index of layers.keys()) await applyLayer(state, index, pace, options);
  return finishMerge(state);
}

/**
 * As {@link mergeLayers}, with the tree that the first `from` layers make, and the one after each further layer. The layers are borrowed. Each tree is walked
 * before the next is asked for; what it has given can be read for as long as the layers are open.
 */
export async function* mergeStepwise(
  layers: readonly Layer[],
  options: MergeOptions & { readonly from: number },
): AsyncGenerator<LayeredTree> {
  options.signal?.throwIfAborted();
  const state = createMergeState(layers, options.limits);
  const pace = { untilTurn: ENTRIES_A_TURN };
  for (let count = 0; count <= layers.length; count++) {
    if (count > 0) await applyLayer(state, count - 1, pace, options);
    if (count >= options.from) yield finishMerge(state);
  }
}

/** What {@link mergeLayersLogged} gives. */
export interface LoggedMerge {
  readonly tree: LayeredTree;
  readonly root: Directory;
  readonly log: ChangeLog;
}

/** As {@link mergeLayers}, and notes what each layer does. */
export async function mergeLayersLogged(layers: readonly Layer[], options: MergeOptions = {}): Promise<LoggedMerge> {
  options.signal?.throwIfAborted();
  const state = createMergeState(layers, options.limits);
  const pace = { untilTurn: ENTRIES_A_TURN };
  const log = createChangeLog();
  for (const index of layers.keys()) {
    const touched = new Map<Directory, Set<string>>();
    state.touched = touched;
    await applyLayer(state, index, pace, options);
    logLayer(log, index, touched);
  }
  return { tree: finishMerge(state), root: state.root, log };
}

async function applyLayer(
  state: MergeState,
  index: number,
  pace: { untilTurn: number },
  { signal }: MergeOptions,
): Promise<void> {
  state.layer = index;
  for (const entry of state.layers[index]?.entries ?? []) {
    applyEntry(state, entry);
    if (--pace.untilTurn > 0) continue;
    pace.untilTurn = ENTRIES_A_TURN;
    await nextTurn();
    signal?.throwIfAborted();
  }
}

/** As {@link mergeLayers}, in one go: for small trees. */
export function mergeLayersSync(layers: readonly Layer[]): LayeredTree {
  const state = createMergeState(layers);
  for (const [index, layer] of layers.entries()) {
    state.layer = index;
    for (const entry of layer.entries) applyEntry(state, entry);
  }
  return finishMerge(state);
}

function finishMerge(state: MergeState): LayeredTree {
  return createMergedTree(state.root, state.layers);
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
