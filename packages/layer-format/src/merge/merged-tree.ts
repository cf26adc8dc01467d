import type { CallOptions, Digest } from "@lamella/refs";

import type { Entry, FileTree, ReadOptions } from "../file-tree.js";
import type { Layer, LayerEntry } from "../layer.js";
import { readLeaf } from "./tree-contents.js";
import { directoryEntry, leafEntry, type Directory, type Inode, type Leaf } from "./inode.js";

/** Where an inode of a merged tree comes from. */
export interface InodeOrigin {
  /** The number of the layer, from 0, the lowest. */
  readonly layer: number;
  /** That layer's. Layers of one diffID have the same entries, with the same contents. */
  readonly diffID: Digest;
  /** What that layer says of it; a hard link of a higher layer may have changed its attributes. */
  readonly entry: LayerEntry;
}

/** The tree that layers make together, which knows what it has from where. */
export interface LayeredTree extends FileTree {
  /**
   * The layer that brought the inode, in whose contents a file's data lies; undefined for a directory, which may be of several.
   * @param entry one of this tree's
   */
  origin(entry: Entry): InodeOrigin | undefined;
}

/**
 * Closes the books on a tree of inodes: puts names in order, numbers and counts.
 *
 * The inodes belong to the tree that is returned. If the merge goes on all the same, that tree can no longer be walked, but the entries that it has
 * given still lead to their files and origins.
 */
export function createMergedTree(root: Directory, layers: readonly Layer[]): LayeredTree {
  const inodes: Inode[] = [];
  let names = 1;
  const enroll = (inode: Inode): void => {
    inode.number = inodes.length;
    inodes.push(inode);
    if (inode.children === undefined) inode.links = 0;
  };
  const settle = (directory: Directory): void => {
    directory.children = inByteOrder(directory.children);
    names += directory.children.size;
    for (const { inode } of directory.children.values()) {
      // A number may be one of an earlier tree of the same merge.
      if (inodes[inode.number] !== inode) enroll(inode);
      if (inode.children === undefined) inode.links++;
      else settle(inode);
    }
  };
  enroll(root);
  settle(root);
  return new MergedTree(root, inodes, names, layers);
}

class MergedTree implements LayeredTree {
  readonly entryCount: number;
  readonly inodeCount: number;
  readonly #root: Directory;
  readonly #inodes: readonly Inode[];
  readonly #layers: readonly Layer[];
  readonly #localityBases: readonly number[];
  #closed: Promise<void> | undefined;

  constructor(root: Directory, inodes: readonly Inode[], entryCount: number, layers: readonly Layer[]) {
    this.entryCount = entryCount;
    this.inodeCount = inodes.length;
    this.#root = root;
    this.#inodes = inodes;
    this.#layers = layers;
    this.#localityBases = localityBases(inodes, layers.length);
  }

  entries({ signal }: CallOptions = {}): AsyncIterableIterator<Entry> {
    const walk = this.#walk(signal);
    // Not an async generator: that takes three turns of the microtask queue for each entry, this one.
    return {
      next: async () => walk.next(),
      return: async () => walk.return(undefined),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async lookup(path: string, options: CallOptions = {}): Promise<Entry | undefined> {
    options.signal?.throwIfAborted();
    this.#assertOpen();
    let inode: Inode | undefined = this.#root;
    if (path !== "") for (const name of path.split("/")) inode = inode?.children?.get(name)?.inode;
    return inode === undefined ? undefined : this.#entry(path, inode);
  }

  read(entry: Entry, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    this.#assertOpen();
    const leaf = this.#file(entry);
    const { size } = leaf.source;
    const { signal, offset = 0, length = size - offset } = options;
    if (!isRange(offset, length, size))
      throw new RangeError(`cannot read ${length} bytes at ${offset}: the file has ${size}`);
    return readLeaf(this.#layers, { leaf, path: entry.path, offset, length, signal });
  }

  readNow(entry: Entry, offset: number, length: number): Uint8Array | undefined {
    this.#assertOpen();
    const { layer, source } = this.#file(entry);
    if (source.extents !== undefined || !isRange(offset, length, source.size)) return undefined;
    return this.#layers[layer]?.readContentsNow?.(source.contentOffset + offset, length);
  }

  origin(entry: Entry): InodeOrigin | undefined {
    this.#assertOpen();
    const inode = this.#inodes[entry.inode];
    if (inode === undefined || inode.children !== undefined) return undefined;
    const { layer, source } = inode;
    return { layer, diffID: (this.#layers[layer] as Layer).diffID, entry: source };
  }

  /** Closes the layers. Closing again waits for the first closing. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= closeAll(this.#layers);
    return this.#closed;
  }

  *#walk(signal: AbortSignal | undefined): Generator<Entry, undefined> {
    this.#assertUsable(signal);
    yield directoryEntry("", this.#root);
    const open = [{ prefix: "", children: this.#root.children.entries() }];
    for (let level = open.at(-1); level !== undefined; level = open.at(-1)) {
      const next = level.children.next();
      if (next.done === true) {
        open.pop();
        continue;
      }
      const [name, { inode }] = next.value;
      const path = pathOf(level.prefix, name, inode);
      this.#assertUsable(signal);
      yield this.#entry(path, inode);
      if (inode.children !== undefined) open.push({ prefix: `${path}/`, children: inode.children.entries() });
    }
  }

  #entry(path: string, inode: Inode): Entry {
    return inode.children === undefined
      ? leafEntry(path, inode, this.#localityBases[inode.layer] ?? 0)
      : directoryEntry(path, inode);
  }

  #file(entry: Entry): Leaf {
    const inode = this.#inodes[entry.inode];
    if (inode?.children !== undefined || inode?.source.kind !== "file")
      throw new TypeError("cannot read the entry: not a file of this tree");
    return inode;
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new Error("cannot use the file tree: it is closed");
  }

  #assertUsable(signal: AbortSignal | undefined): void {
    this.#assertOpen();
    signal?.throwIfAborted();
  }
}

/** Mostly what the layer called it, which is in memory already: a path of its own would be a tenth of what an entry takes. */
function pathOf(prefix: string, name: string, inode: Inode): string {
  const known = inode.children === undefined ? inode.source.path : "";
  const isKnown = known.length === prefix.length + name.length && known.startsWith(prefix) && known.endsWith(name);
  return isKnown ? known : prefix + name;
}

function isRange(offset: number, length: number, size: number): boolean {
  return (
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= size
  );
}

function inByteOrder<Value>(map: Map<string, Value>): Map<string, Value> {
  let last = "";
  for (const name of map.keys()) {
    // Characters of a byte string compare as their bytes do.
    if (name < last) return new Map([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
    last = name;
  }
  return map;
}

/** Where each layer begins if their contents were laid end to end, the lowest first. */
function localityBases(inodes: readonly Inode[], layerCount: number): number[] {
  const ends = Array.from({ length: layerCount }, () => 0);
  for (const inode of inodes) {
    if (inode.children !== undefined || inode.source.kind !== "file") continue;
    ends[inode.layer] = Math.max(ends[inode.layer] ?? 0, inode.source.contentOffset + inode.source.size);
  }
  let base = 0;
  return ends.map((end) => (base += end) - end);
}

/** Closes every layer even if one fails; one that stands in the chain twice is closed once. */
async function closeAll(layers: readonly Layer[]): Promise<void> {
  const results = await Promise.allSettled([...new Set(layers)].map((layer) => layer[Symbol.asyncDispose]()));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
