import type { Attributes, Entry } from "../file-tree.js";
import type { LayerEntry } from "../layer.js";

/** A name in a directory. Layers mark names, not inodes: a hard link made by one layer may lead to a lower layer's inode. */
interface Dirent {
  readonly inode: Inode;
  /** The layer that last brought this name. */
  layer: number;
}

/** Anything that is not a directory. The layer's own entry serves as its attributes until a hard link changes them. */
export interface Leaf {
  readonly children: undefined;
  readonly source: LayerEntry;
  /** The layer whose contents hold the data. */
  readonly layer: number;
  attributes: Attributes;
  number: number;
  links: number;
  /** Of a sparse file, once it has been read: where each extent's data begins in the layer's contents. */
  dataStarts: Float64Array | undefined;
}

export interface Directory {
  children: Map<string, Dirent>;
  attributes: Attributes;
  number: number;
  /** Of the path from the root; a directory never moves. */
  readonly pathBytes: number;
  /** The last layer that brought something at or below. */
  broughtBy: number;
  /** The last layer that has removed all that lower layers had below. */
  clearedBy: number;
}

export type Inode = Leaf | Directory;

export const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/** What a directory has that no layer describes. */
export const IMPLIED: Attributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: NO_XATTRS,
};

export function createDirectory(attributes: Attributes, pathBytes: number, layer: number): Directory {
  return { children: new Map(), attributes, number: -1, pathBytes, broughtBy: layer, clearedBy: -1 };
}

export function createLeaf(source: LayerEntry, layer: number): Leaf {
  return {
    children: undefined,
    source,
    layer,
    attributes: leafAttributes(source),
    number: -1,
    links: 0,
    dataStarts: undefined,
  };
}

/** The kernel gives every symlink mode 0777, whatever a tar says. */
function leafAttributes(source: LayerEntry): Attributes {
  return source.kind === "symlink" && source.mode !== 0o777 ? { ...pickAttributes(source), mode: 0o777 } : source;
}

export function pickAttributes(from: Attributes): Attributes {
  const { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs } = from;
  return { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs };
}

/** @param localityBase - where the leaf's layer begins in the order of reading */
export function leafEntry(path: string, leaf: Leaf, localityBase: number): Entry {
  const { source, attributes } = leaf;
  const entry: Entry = {
    path,
    // A leaf's source is never a marker: those leave no node.
    kind: source.kind as Entry["kind"],
    mode: attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    mtimeSeconds: attributes.mtimeSeconds,
    mtimeNanoseconds: attributes.mtimeNanoseconds,
    xattrs: attributes.xattrs,
    size: source.kind === "file" || source.kind === "symlink" ? source.size : 0,
    linkTarget: source.linkTarget,
    deviceMajor: source.deviceMajor,
    deviceMinor: source.deviceMinor,
    inode: leaf.number,
    links: leaf.links,
    locality: source.kind === "file" ? localityBase + source.contentOffset : 0,
  };
  return source.extents === undefined ? entry : { ...entry, extents: source.extents };
}

export function directoryEntry(path: string, directory: Directory): Entry {
  const { attributes } = directory;
  return {
    path,
    kind: "directory",
    mode: attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    mtimeSeconds: attributes.mtimeSeconds,
    mtimeNanoseconds: attributes.mtimeNanoseconds,
    xattrs: attributes.xattrs,
    size: 0,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    inode: directory.number,
    links: 1,
    locality: 0,
  };
}
