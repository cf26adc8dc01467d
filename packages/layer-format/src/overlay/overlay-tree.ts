import type { Entry, FileTree } from "../file-tree.js";
import type { Layer } from "../layer.js";
import { type MergeOptions, mergeStepwise } from "../merge/merge.js";
import type { InodeOrigin, LayeredTree } from "../merge/merged-tree.js";
import { overlayDifference } from "./difference.js";
import { hasOverlayMarks, isNullDevice, overlayXattrs, type OverlayXattrs } from "./marks.js";
import { readTreeNodes, type TreeNode } from "./tree-nodes.js";

export interface OverlayTreeOptions extends MergeOptions {
  /**
   * The xattrs in which an overlay is told that a directory is opaque; `trusted` by default. A mount with `userxattr`, which needs no root, reads
   * `user`. With `both` the tree is right for either, which then shows the other's mark as an xattr of the directory.
   */
  xattrs?: OverlayXattrs;
  /** Told of what no overlay can show, as a noun phrase, and of whose it is: at most once for an entry and a phrase. */
  onLoss?(what: string, path: string): void;
}

/** What one layer is in an overlay. */
export interface OverlayTree extends FileTree {
  /** As of the tree that the layers make; undefined for a whiteout too. */
  origin(entry: Entry): InodeOrigin | undefined;
}

/** `ovl_whiteout`: a character device 0:0. One inode is enough for all of them. */
const WHITEOUT: Omit<Entry, "path" | "inode" | "links"> = {
  kind: "char",
  mode: 0,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: new Map(),
  size: 0,
  linkTarget: "",
  deviceMajor: 0,
  deviceMinor: 0,
  locality: 0,
};

/**
 * The tree that overlayfs has to lay on what the lower layers make (as trees of the same kind, or one tree) to show all of them merged.
 *
 * It holds what the layer changes. What a layer alone does not say comes from those below: the attributes of directories that it has not described, the data of a
 * file that it links to, the place that a symlink leads to. A whiteout is a character device 0:0, an opaque directory has an xattr. Of an inode that has new
 * names, or attributes, it has all names.
 *
 * Two things have no place in an overlay, and are losses: a device 0:0 of an image would be a whiteout and is left out; xattrs `trusted.overlay.*` (or
 * `user.overlay.*`, see {@link OverlayTreeOptions.xattrs}) are escaped, so that they never steer ours: Linux 6.7 and later show them under their own names,
 * earlier ones hide them.
 *
 * The layers are borrowed: close them after the last read.
 *
 * @param lower the lowest first
 * @throws {LayerFormatError} what `mergeLayers` throws
 */
export async function overlayTree(
  lower: readonly Layer[],
  layer: Layer,
  options: OverlayTreeOptions = {},
): Promise<OverlayTree> {
  const trees = differences([...lower, layer], lower.length, options);
  const { value } = await trees.next();
  return value as OverlayTree;
}

/**
 * The {@link overlayTree} of each layer on those before it, the lowest first. They come one at a time, so that no more than two merged trees are in memory.
 *
 * @throws {LayerFormatError} what `mergeLayers` throws
 */
export function overlayTrees(
  layers: readonly Layer[],
  options: OverlayTreeOptions = {},
): AsyncGenerator<OverlayTree, void> {
  return differences(layers, 0, options);
}

async function* differences(
  layers: readonly Layer[],
  from: number,
  options: OverlayTreeOptions,
): AsyncGenerator<OverlayTree, void> {
  const { xattrs: namespaces = "trusted", onLoss = () => undefined, signal } = options;
  let lower: TreeNode | undefined;
  let layer = from - 1;
  for await (const tree of mergeStepwise(layers, { ...options, from })) {
    const includes = (entry: Entry): boolean => {
      if (!isNullDevice(entry)) return true;
      // Told of only where the layer itself has it.
      if (lower !== undefined && tree.origin(entry)?.layer === layer)
        onLoss("devices 0:0, which overlayfs takes for whiteouts", entry.path);
      return false;
    };
    const upper = await readTreeNodes(tree, { includes, signal });
    if (lower !== undefined) yield createOverlayTree({ tree, upper, lower }, { namespaces, onLoss });
    lower = upper;
    layer += 1;
  }
}

interface Difference {
  /** What is to be shown, whose files are read. */
  readonly tree: LayeredTree;
  readonly upper: TreeNode;
  readonly lower: TreeNode;
}

interface Marking {
  readonly namespaces: OverlayXattrs;
  onLoss(what: string, path: string): void;
}

function createOverlayTree({ tree, upper, lower }: Difference, { namespaces, onLoss }: Marking): OverlayTree {
  const entries = new Map<string, Entry>();
  const sources: (Entry | undefined)[] = [];
  const numbers = new Map<number, number>();
  let whiteoutNumber = -1;

  const items = [...overlayDifference(lower, upper)];
  const whiteoutCount = items.filter(({ node }) => node === undefined).length;
  for (const item of items) {
    if (item.node === undefined) {
      if (whiteoutNumber < 0) whiteoutNumber = sources.push(undefined) - 1;
      entries.set(item.path, { ...WHITEOUT, path: item.path, inode: whiteoutNumber, links: whiteoutCount });
      continue;
    }
    const { entry } = item.node;
    let inode = numbers.get(entry.inode);
    if (inode === undefined) {
      inode = sources.push(entry) - 1;
      numbers.set(entry.inode, inode);
      if (hasOverlayMarks(entry.xattrs, namespaces))
        onLoss("xattrs of overlayfs, which an overlay shows from Linux 6.7 on", entry.path);
    }
    const xattrs = overlayXattrs(entry.xattrs, namespaces, item.isOpaque);
    entries.set(item.path, { ...entry, inode, xattrs });
  }

  return {
    entryCount: entries.size,
    inodeCount: sources.length,
    async *entries(options = {}) {
      for (const entry of entries.values()) {
        options.signal?.throwIfAborted();
        yield entry;
      }
    },
    async lookup(path, options = {}) {
      options.signal?.throwIfAborted();
      return entries.get(path);
    },
    read: (entry, options) => tree.read(sources[entry.inode] ?? entry, options),
    origin(entry) {
      const source = sources[entry.inode];
      return source && tree.origin(source);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
