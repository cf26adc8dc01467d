import { resolve } from "node:path";

import type { CallOptions } from "@lamella/refs";

import type { Entry, FileTree, ReadOptions } from "../../file-tree.js";
import { DirectoryFiles, type FileRead } from "./directory-tree-file.js";
import { readXattrs } from "./directory-xattrs.js";
import { type DirectoryIndex, type FileIdentity, scanDirectory } from "./directory-tree-scan.js";

export interface DirectoryTreeOptions extends CallOptions {
  /** Whether extended attributes are read: by the program getfattr (Debian's package attr), those that this process may see. Not by default. */
  xattrs?: boolean | undefined;
}

/**
 * A directory of this machine as a tree. All of it is listed now and kept in memory, some 300 bytes a name; files are read when they
 * are asked for. What is mounted inside belongs to it. Symlinks are entries and are not followed, but for `path` itself.
 *
 * Names and small files are read on the calling thread for as long as storage is quick, some milliseconds between two turns of the event
 * loop; all else by Node's thread pool.
 *
 * Holes are read as zeros. Extended attributes (file capabilities and access control lists among them), which Node cannot see, are there only on demand.
 *
 * The directory must not change while the tree is in use. What is seen of a change, in names while they are listed or in a file's
 * identity, size and time of modification when it is read, is an error instead of wrong bytes; a file that is written to twice within
 * one tick of the file system's clock (4 ms) goes unseen.
 *
 * @throws {LayerFormatError} `tree_changed`, also from the tree's `read`; with `xattrs` also `tool_missing` and `tool_failed`. Errors of the file system pass as they are.
 */
export async function openDirectoryTree(path: string, options: DirectoryTreeOptions = {}): Promise<FileTree> {
  options.signal?.throwIfAborted();
  const root = resolve(path);
  const index = await scanDirectory(root, options);
  const { xattrs = false } = options;
  const entries = xattrs ? withXattrs(index.entries, await readXattrs(root, options)) : index.entries;
  return new DirectoryTree({ ...index, entries }, new DirectoryFiles(root));
}

function withXattrs(entries: readonly Entry[], found: Awaited<ReturnType<typeof readXattrs>>): Entry[] {
  return entries.map((entry) => {
    const xattrs = found.get(entry.path);
    return xattrs === undefined ? entry : { ...entry, xattrs };
  });
}

class DirectoryTree implements FileTree {
  readonly #entries: readonly Entry[];
  readonly #identities: readonly (FileIdentity | undefined)[];
  readonly #files: DirectoryFiles;
  #closed = false;

  constructor({ entries, files }: DirectoryIndex, reader: DirectoryFiles) {
    this.#entries = entries;
    this.#identities = files;
    this.#files = reader;
  }

  get entryCount(): number {
    return this.#entries.length;
  }

  get inodeCount(): number {
    return this.#identities.length;
  }

  async *entries({ signal }: CallOptions = {}): AsyncGenerator<Entry> {
    signal?.throwIfAborted();
    for (const entry of this.#entries) {
      this.#assertOpen();
      signal?.throwIfAborted();
      yield entry;
    }
  }

  async lookup(path: string, { signal }: CallOptions = {}): Promise<Entry | undefined> {
    signal?.throwIfAborted();
    this.#assertOpen();
    const key = walkKey(path);
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (walkKey(this.#entries[middle]?.path ?? "") < key) low = middle + 1;
      else high = middle;
    }
    const found = this.#entries[low];
    return found?.path === path ? found : undefined;
  }

  read(entry: Entry, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    this.#assertOpen();
    const file = this.#file(entry);
    const size = Number(file.size);
    const { signal, offset = 0, length = size - offset } = options;
    if (!isRange(offset, length, size))
      throw new RangeError(`cannot read ${length} bytes at ${offset}: the file has ${size}`);
    return this.#read(file, { offset, length, signal });
  }

  readNow(entry: Entry, offset: number, length: number): Uint8Array | undefined {
    this.#assertOpen();
    const file = this.#file(entry);
    return isRange(offset, length, Number(file.size)) ? this.#files.readNow(file, offset, length) : undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  async *#read(file: FileIdentity, range: FileRead): AsyncGenerator<Uint8Array> {
    range.signal?.throwIfAborted();
    for await (const chunk of this.#files.read(file, range)) {
      this.#assertOpen();
      yield chunk;
    }
  }

  #file(entry: Entry): FileIdentity {
    const file = this.#identities[entry.inode];
    if (file === undefined) throw new TypeError("cannot read the entry: not a file of this tree");
    return file;
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error("cannot use the file tree: it is closed");
  }
}

function isRange(offset: number, length: number, size: number): boolean {
  const areWhole = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
  return areWhole && offset >= 0 && length >= 0 && offset + length <= size;
}

/** Compares as a walk goes: what is below a directory comes before what follows the directory. No name has a NUL. */
function walkKey(path: string): string {
  return path.replaceAll("/", "\0");
}
