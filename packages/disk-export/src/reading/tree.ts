import type { Attributes, Content, Entry, FileKind, FileTree, ReadOptions } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { diskInvalid } from "./metadata.js";
import { displayPath } from "@lamella/layer-format";

const NAMES_MAX = 2 ** 22;
const PATH_BYTES_MAX = 1 << 15;
const NAME_BYTES_MAX = 255;
const FORBIDDEN = /[/\0]/;

/** An inode as its disk has it; `data` is what its format reads its bytes by. */
export interface DiskInode<Data> extends Attributes, Content {
  readonly kind: FileKind;
  readonly locality: number;
  readonly data: Data;
}

/** A name in a directory, and the number of its inode. */
export interface DiskName {
  readonly name: string;
  readonly inode: number;
}

/** What a format does for {@link readDiskTree}. */
export interface DiskFormatReader<Data> {
  readonly format: string;
  readonly rootInode: number;
  inode(number: number): Promise<DiskInode<Data>>;
  /** In any order, without `.` and `..`. */
  names(number: number, directory: DiskInode<Data>): Promise<DiskName[]>;
  /** Bytes of a file, within its size. */
  read(file: DiskInode<Data>, options: CallOptions & { offset: number; length: number }): AsyncIterable<Uint8Array>;
}

interface Node<Data> {
  readonly inode: DiskInode<Data>;
  readonly number: number;
  links: number;
  /** Of a directory, in byte order. */
  names: readonly string[];
  children: readonly Node<Data>[];
}

/**
 * Reads all names and inodes of a disk into memory, some 300 bytes each, and gives them as a tree. Files stay where they are.
 *
 * @throws {DiskExportError} `disk_invalid`: a directory with two names or within itself, a name that is none, one name twice, more than
 * 4,194,304 names, a path of more than 32,768 bytes; and what the format's reader throws
 */
export async function readDiskTree<Data>(
  reader: DiskFormatReader<Data>,
  { signal, close }: CallOptions & { close: (() => Promise<void>) | undefined },
): Promise<FileTree> {
  const { format } = reader;
  const nodes = new Map<number, Node<Data>>();

  async function enroll(number: number): Promise<Node<Data>> {
    const inode = await reader.inode(number);
    const node = { inode, number: nodes.size, links: 0, names: [], children: [] };
    nodes.set(number, node);
    return node;
  }

  const root = await enroll(reader.rootInode);
  if (root.inode.kind !== "directory") throw diskInvalid(format, "root", `it is a ${root.inode.kind}`);
  root.links = 1;
  let nameCount = 1;
  const open = [{ node: root, number: reader.rootInode, path: "" }];
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    signal?.throwIfAborted();
    const { node, path } = directory;
    const found = await reader.names(directory.number, node.inode);
    found.sort((left, right) => (left.name < right.name ? -1 : left.name > right.name ? 1 : 0));
    nameCount += found.length;
    const shown = `directory ${displayPath(`/${path}`)}`;
    if (nameCount > NAMES_MAX) throw diskInvalid(format, shown, `more than ${NAMES_MAX} names, the limit`);
    const children: Node<Data>[] = [];
    for (const [index, { name, inode: number }] of found.entries()) {
      requireName(format, shown, name);
      if (name === found[index - 1]?.name)
        throw diskInvalid(format, shown, `it has the name ${displayPath(name)} twice`);
      const known = nodes.get(number);
      const child = known ?? (await enroll(number));
      if (child.inode.kind === "directory") {
        if (known !== undefined)
          throw diskInvalid(format, shown, `${displayPath(name)} is a directory that has another name already`);
        const childPath = path === "" ? name : `${path}/${name}`;
        if (childPath.length > PATH_BYTES_MAX)
          throw diskInvalid(format, shown, `a path in it has more than ${PATH_BYTES_MAX} bytes, the limit`);
        open.push({ node: child, number, path: childPath });
      }
      child.links += 1;
      children.push(child);
    }
    node.names = found.map(({ name }) => name);
    node.children = children;
  }
  return new DiskTree(reader, { root, nodes: [...nodes.values()], entryCount: nameCount, close });
}

class DiskTree<Data> implements FileTree {
  readonly entryCount: number;
  readonly inodeCount: number;
  readonly #reader: DiskFormatReader<Data>;
  readonly #root: Node<Data>;
  readonly #nodes: readonly Node<Data>[];
  readonly #close: (() => Promise<void>) | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    reader: DiskFormatReader<Data>,
    index: {
      readonly root: Node<Data>;
      readonly nodes: readonly Node<Data>[];
      readonly entryCount: number;
      readonly close: (() => Promise<void>) | undefined;
    },
  ) {
    this.entryCount = index.entryCount;
    this.inodeCount = index.nodes.length;
    this.#reader = reader;
    this.#root = index.root;
    this.#nodes = index.nodes;
    this.#close = index.close;
  }

  async *entries({ signal }: CallOptions = {}): AsyncGenerator<Entry> {
    signal?.throwIfAborted();
    const open: { node: Node<Data>; path: string; next: number }[] = [];
    yield this.#entry("", this.#root);
    open.push({ node: this.#root, path: "", next: 0 });
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const child = top.node.children[top.next];
      if (child === undefined) {
        open.pop();
        continue;
      }
      this.#assertOpen();
      signal?.throwIfAborted();
      const name = top.node.names[top.next] ?? "";
      const path = top.path === "" ? name : `${top.path}/${name}`;
      top.next += 1;
      yield this.#entry(path, child);
      if (child.inode.kind === "directory") open.push({ node: child, path, next: 0 });
    }
  }

  async lookup(path: string, { signal }: CallOptions = {}): Promise<Entry | undefined> {
    signal?.throwIfAborted();
    this.#assertOpen();
    if (path === "") return this.#entry("", this.#root);
    let node = this.#root;
    for (const name of path.split("/")) {
      const child = node.children[searchName(node.names, name)];
      if (child === undefined) return undefined;
      node = child;
    }
    return this.#entry(path, node);
  }

  read(entry: Entry, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    this.#assertOpen();
    const file = this.#nodes[entry.inode]?.inode;
    if (file?.kind !== "file") throw new TypeError("cannot read the entry: not a file of this tree");
    const { signal, offset = 0, length = file.size - offset } = options;
    if (
      !(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0) ||
      offset + length > file.size
    )
      throw new RangeError(`cannot read ${length} bytes at ${offset}: the file has ${file.size}`);
    return this.#read(file, { offset, length, signal });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close?.() ?? Promise.resolve();
    return this.#closed;
  }

  async *#read(
    file: DiskInode<Data>,
    range: CallOptions & { offset: number; length: number },
  ): AsyncGenerator<Uint8Array> {
    range.signal?.throwIfAborted();
    for await (const chunk of this.#reader.read(file, range)) {
      this.#assertOpen();
      yield chunk;
    }
  }

  #entry(path: string, { inode, number, links }: Node<Data>): Entry {
    const { kind, mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs } = inode;
    const { size, linkTarget, deviceMajor, deviceMinor, extents, locality } = inode;
    const entry = { path, kind, mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs };
    const content = { size, linkTarget, deviceMajor, deviceMinor, inode: number, links, locality };
    return extents === undefined ? { ...entry, ...content } : { ...entry, ...content, extents };
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new Error("cannot use the file tree: it is closed");
  }
}

function requireName(format: string, directory: string, name: string): void {
  const isName = name !== "" && name !== "." && name !== ".." && name.length <= NAME_BYTES_MAX && !FORBIDDEN.test(name);
  if (!isName) throw diskInvalid(format, directory, `${JSON.stringify(displayPath(name))} cannot be a name`);
}

/** Where a name is among names in byte order; -1 for nowhere. */
function searchName(names: readonly string[], name: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((names[middle] ?? "") < name) low = middle + 1;
    else high = middle;
  }
  return names[low] === name ? low : -1;
}
