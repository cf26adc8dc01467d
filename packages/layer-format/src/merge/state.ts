import { displayPath } from "../display-path.js";
import { LayerFormatError, type LayerFormatErrorCode } from "../errors.js";
import type { Layer, LayerEntry } from "../layer.js";
import { touch } from "./change-log.js";
import { IMPLIED, createDirectory, type Directory } from "./inode.js";

/** What a merge refuses to go beyond, each with `layer_limit`. */
export interface MergeLimits {
  /** Names that the layers make together, those implied, replaced and removed again included. */
  names: number;
  /** Bytes of one name. */
  nameBytes: number;
  /** Bytes of a path from the image's root, after its symlinks have been followed, and of a symlink's target. */
  pathBytes: number;
  /** Extended attributes of one inode, to which each of its hard links may add. */
  xattrs: number;
  /** Path components looked at in all: bounds the time that chains of symlinks can take. */
  pathSteps: number;
}

export const MERGE_LIMITS: Readonly<MergeLimits> = {
  names: 10_000_000,
  nameBytes: 255,
  pathBytes: 4096,
  xattrs: 1024,
  pathSteps: 400_000_000,
};

/** A merge under way. */
export interface MergeState {
  readonly layers: readonly Layer[];
  readonly limits: Readonly<MergeLimits>;
  readonly root: Directory;
  /** The layer and the entry that are being applied. */
  layer: number;
  entry: LayerEntry | undefined;
  names: number;
  pathSteps: number;
  /** Where the last entry went: the next one mostly goes there too. Forgotten when a name that may lead there changes. */
  lastParent: { readonly path: string; readonly layer: number; readonly directory: Directory } | undefined;
  /** The maps of extended attributes that the merge itself has made, and so may add to. */
  readonly ownXattrs: WeakSet<ReadonlyMap<string, Uint8Array>>;
  /** The names that the layer has changed, where somebody wants to know. */
  touched: Map<Directory, Set<string>> | undefined;
}

export function createMergeState(layers: readonly Layer[], limits: Partial<MergeLimits> = {}): MergeState {
  return {
    layers,
    limits: { ...MERGE_LIMITS, ...limits },
    root: createDirectory(IMPLIED, 0, -1),
    layer: 0,
    entry: undefined,
    names: 1,
    pathSteps: 0,
    lastParent: undefined,
    ownXattrs: new WeakSet(),
    touched: undefined,
  };
}

/** Comes before whatever changes what a name stands for. */
export function noteChange({ touched }: MergeState, directory: Directory, name: string): void {
  if (touched !== undefined) touch(touched, directory, name);
}

/** Refuses the entry that is being applied. `rule` says what is wrong, as a state. */
export function refuse(state: MergeState, code: LayerFormatErrorCode, rule: string): never {
  const path = displayPath(state.entry?.path ?? "");
  throw new LayerFormatError(code, `cannot apply "${path}" of ${showLayer(state.layers, state.layer)}: ${rule}`);
}

export function showLayer(layers: readonly Layer[], index: number): string {
  return `layer ${index} (${layers[index]?.diffID})`;
}

/** Counts a new name and refuses it if it is too long or one too many. Gives the bytes of its path. */
export function admitName(state: MergeState, parent: Directory, name: string): number {
  const { limits } = state;
  const pathBytes = parent.pathBytes + name.length + (parent === state.root ? 0 : 1);
  if (name.length > limits.nameBytes)
    refuse(state, "layer_limit", `a name has ${name.length} bytes, over the limit of ${limits.nameBytes}`);
  if (pathBytes > limits.pathBytes)
    refuse(state, "layer_limit", `the resolved path has over ${limits.pathBytes} bytes`);
  if (++state.names > limits.names) refuse(state, "layer_limit", `the layers make over ${limits.names} names`);
  return pathBytes;
}
