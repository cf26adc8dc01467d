import type { CallOptions, Digest } from "@lamella/refs";

import { displayPath } from "../display-path.js";
import { LayerFormatError } from "../errors.js";
import type { Entry, FileTree } from "../file-tree.js";
import type { Layer, LayerEntry } from "../layer.js";
import { NO_XATTRS } from "../merge/inode.js";
import { splitPath } from "../merge/path.js";
import { tarLinkTo } from "../tar/tree-entry.js";
import { createTreeLayer, randomDiffID } from "../tree-layer.js";
import { isNullDevice, type OverlayMarks, type OverlayXattrs, readOverlayXattrs } from "./marks.js";

export interface OverlayLayerOptions extends CallOptions {
  /** The xattrs in which the overlay has its marks; `trusted` by default. */
  xattrs?: OverlayXattrs;
  /** What the layer has as its diffID, which stands for no tar. Layers of one diffID are taken for the same; by default it is a random one. */
  diffID?: Digest;
}

type Draft = Omit<LayerEntry, "contentOffset">;

/** What overlayfs keeps for itself in an upper directory, and what says nothing of what is shown. */
const BOOKKEEPING: ReadonlySet<string> = new Set(["origin", "impure", "nlink", "upper", "uuid", "protattr"]);

/**
 * What a layer of an overlay means for those below: its upper directory, or a tree that `overlayTree` made.
 *
 * Character devices 0:0, and from Linux 6.7 on files that are marked so, are whiteouts; a directory with the mark is opaque, but for the root, for
 * which overlayfs does not ask; escaped xattrs have their own names; overlayfs' notes to itself are left out; later names of an
 * inode are hard links to the first. Files are read from the tree, which the layer takes over: closing it closes the tree.
 *
 * @throws {LayerFormatError} `layer_invalid` where a directory is redirected, a file is only a copy of its metadata, or a mark is not known: what
 * they mean is in other directories of that overlay
 */
export async function layerFromOverlay(tree: FileTree, options: OverlayLayerOptions = {}): Promise<Layer> {
  const { xattrs: namespaces = "trusted", signal } = options;
  signal?.throwIfAborted();
  const entries: Draft[] = [];
  const files = new Map<string, Entry>();
  const firstNames = new Map<number, string>();
  /** Directories in which a marked file is a whiteout. */
  const withMarkedFiles = new Set<string>();
  for await (const entry of tree.entries({ signal })) {
    const read = readOverlayXattrs(entry.xattrs, namespaces);
    const isMarkedFile = read.marks.has("whiteout") && withMarkedFiles.has(splitPath(entry.path).parent);
    if (isNullDevice(entry) || isMarkedFile) {
      entries.push(marker(entry, "whiteout"));
      continue;
    }
    requireKnown(entry, read);
    const shown = read.xattrs === entry.xattrs ? entry : { ...entry, xattrs: read.xattrs };
    const first = firstNames.get(entry.inode);
    if (first !== undefined) {
      entries.push(tarLinkTo(shown, first));
      continue;
    }
    if (entry.links > 1) firstNames.set(entry.inode, entry.path);
    if (entry.kind === "file") files.set(entry.path, entry);
    entries.push(shown);
    const opaque = markOf(read, "opaque");
    if (opaque === "x") withMarkedFiles.add(entry.path);
    if (opaque === "y" && entry.kind === "directory" && entry.path !== "") entries.push(marker(entry, "opaque"));
  }
  const diffID = options.diffID ?? randomDiffID();
  return createTreeLayer(tree, { diffID, entries, files });
}

function markOf({ marks }: OverlayMarks, name: string): string | undefined {
  const value = marks.get(name);
  return value === undefined ? undefined : String.fromCharCode(...value.subarray(0, 2));
}

function requireKnown({ path, kind }: Entry, { marks }: OverlayMarks): void {
  for (const name of marks.keys()) {
    const isKnown = BOOKKEEPING.has(name) || (name === "opaque" && kind === "directory");
    if (!isKnown) {
      const what = `overlayfs' mark "${displayPath(name)}" refers to what is not in this layer, or is not known`;
      throw new LayerFormatError("layer_invalid", `cannot take "${displayPath(path)}" from an overlay: ${what}`);
    }
  }
}

function marker(entry: Entry, kind: "whiteout" | "opaque"): Draft {
  const { path, mtimeSeconds, mtimeNanoseconds } = entry;
  return {
    path,
    kind,
    mode: 0,
    uid: 0,
    gid: 0,
    mtimeSeconds,
    mtimeNanoseconds,
    xattrs: NO_XATTRS,
    size: 0,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
  };
}
