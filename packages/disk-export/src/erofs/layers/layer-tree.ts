import type { Entry, FileTree, InodeOrigin, LayeredTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { layerDifference } from "./layer-difference.js";
import type { LayerNodes } from "./layer-nodes.js";
import { hasOverlayMarks, overlayXattrs } from "./layer-xattrs.js";
import type { OverlayXattrs } from "./layer-xattrs.js";
import type { LossCollector } from "../../losses.js";

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

export interface LayerTreeOptions extends CallOptions {
  /** What is to be shown, whose files are read. */
  readonly tree: LayeredTree;
  /** Its names, and those of what it lies on. */
  readonly upper: LayerNodes;
  readonly lower: LayerNodes;
  /** The topmost layer of `tree`. */
  readonly layer: number;
  readonly namespaces: OverlayXattrs;
  readonly losses: LossCollector;
}

export interface LayerTree extends FileTree {
  /** As of the tree that the layers make; undefined for a whiteout too. */
  origin(entry: Entry): InodeOrigin | undefined;
}

/** The tree of which a layer's image is made: what it changes, with whiteouts and opaque directories as overlayfs knows them. */
export function createLayerTree({
  tree,
  upper,
  lower,
  layer,
  namespaces,
  losses,
  signal,
}: LayerTreeOptions): LayerTree {
  for (const device of upper.nullDevices) {
    if (device.layer === layer) losses.add("devices 0:0, which overlayfs takes for whiteouts", device.path);
  }
  const entries = new Map<string, Entry>();
  const sources: (Entry | undefined)[] = [];
  const numbers = new Map<number, number>();
  const whiteouts: string[] = [];
  let whiteoutNumber = 0;

  const items = [...layerDifference(lower.root, upper.root)];
  const whiteoutCount = items.filter(({ node }) => node === undefined).length;
  for (const item of items) {
    signal?.throwIfAborted();
    if (item.node === undefined) {
      if (whiteouts.length === 0) whiteoutNumber = sources.push(undefined) - 1;
      whiteouts.push(item.path);
      entries.set(item.path, { ...WHITEOUT, path: item.path, inode: whiteoutNumber, links: whiteoutCount });
      continue;
    }
    const { entry } = item.node;
    let inode = numbers.get(entry.inode);
    if (inode === undefined) {
      inode = sources.push(entry) - 1;
      numbers.set(entry.inode, inode);
      if (hasOverlayMarks(entry.xattrs, namespaces))
        losses.add("xattrs of overlayfs, which an overlay shows from Linux 6.7 on", entry.path);
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
