import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";

import type { CallOptions, Digest } from "@lamella/refs";

import { displayPath } from "../../display-path.js";
import { LayerFormatError } from "../../errors.js";
import type { ReadOptions } from "../../file-tree.js";
import { readLeaf } from "../../merge/tree-contents.js";
import { createLeaf } from "../../merge/inode.js";
import type { ContentsReader } from "./contents.js";
import { decodeEntries } from "./decoder.js";
import type { ArchiveSummary } from "./footer.js";
import { HASH_BYTES } from "./layout.js";
import type { PageReader } from "./pages.js";
import { openArchive } from "./reader.js";
import { lookupPath, type ArchivedEntry, type LayerLookup } from "./search.js";

/**
 * A layer archive, open: it reads what it is asked for and holds no entries in memory. Every page of the index is checked before
 * it is used. Any calls may be under way at the same time; whoever opened it closes it, and then every call throws.
 */
export interface LayerArchive extends ArchiveSummary, AsyncDisposable {
  /** Looks up exactly this path, which is clean, in O(log n) reads of pages. Parents and symlinks play no part. */
  lookup(path: string, options?: CallOptions): Promise<LayerLookup>;

  /** Every entry, in the tar's order. */
  entries(options?: CallOptions): AsyncIterable<ArchivedEntry>;

  /**
   * A file's bytes; holes read as zeros. Gives exactly `length` bytes or throws. A chunk is valid only until the next is asked for.
   * Reading the whole file checks it against its content hash at the end; a part of it is not checked.
   * @throws {RangeError} for a range outside of the file, {@link LayerFormatError} `layer_invalid` for what is no file (a hard link:
   * look its target up), `archive_invalid` for damage.
   */
  readFile(entry: ArchivedEntry, options?: ReadOptions): AsyncIterable<Uint8Array>;

  /** SHA-256 of a file's data: of all its bytes, or of a sparse file's extents, back to back. Undefined for what is no file. */
  contentDigest(entry: ArchivedEntry, options?: CallOptions): Promise<Digest | undefined>;
}

/**
 * Opens a layer archive without reading its index.
 * @throws {LayerFormatError} `archive_invalid` if a part is missing, of the wrong size or of another version; damage of the index
 * comes out of the calls that meet it.
 */
export async function readLayer(directory: string, options: CallOptions = {}): Promise<LayerArchive> {
  const { index, indexHandle, contents } = await openArchive(directory, options);
  return new DiskArchive(index, indexHandle, contents);
}

class DiskArchive implements LayerArchive {
  readonly diffID: Digest;
  readonly layerHash: Digest;
  readonly entryCount: number;
  readonly contentsBytes: number;
  readonly tarBytes: number;
  readonly #index: PageReader;
  readonly #handle: FileHandle;
  readonly #contents: ContentsReader;
  #closed: Promise<void> | undefined;

  constructor(index: PageReader, handle: FileHandle, contents: ContentsReader) {
    this.#index = index;
    this.#handle = handle;
    this.#contents = contents;
    const { footer } = index;
    this.diffID = footer.diffID;
    this.layerHash = footer.layerHash;
    this.entryCount = footer.entryCount;
    this.contentsBytes = footer.contentsBytes;
    this.tarBytes = footer.tarBytes;
  }

  async lookup(path: string, options: CallOptions = {}): Promise<LayerLookup> {
    this.#begin(options);
    return lookupPath(this.#index, path, options);
  }

  async *entries(options: CallOptions = {}): AsyncGenerator<ArchivedEntry> {
    this.#begin(options);
    const { places } = this.#index;
    let position = 0;
    for await (const batch of decodeEntries(this.#index.stream(places.bodies, places.hashes, options), this)) {
      for (const entry of batch) {
        this.#begin(options);
        yield { ...entry, position: position++ };
      }
    }
  }

  readFile(entry: ArchivedEntry, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    const { path, kind, size } = entry;
    const { offset = 0, length = size - offset } = options;
    if (kind !== "file")
      throw new LayerFormatError("layer_invalid", `cannot read "${displayPath(path)}" of the layer: it is a ${kind}`);
    if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0))
      throw new RangeError(`cannot read ${length} bytes at ${offset}: these are no numbers of bytes`);
    if (offset + length > size) throw new RangeError(`cannot read ${length} bytes at ${offset}: the file has ${size}`);
    return this.#read(entry, { offset, length, signal: options.signal });
  }

  async contentDigest(entry: ArchivedEntry, options: CallOptions = {}): Promise<Digest | undefined> {
    this.#begin(options);
    const { position, kind } = entry;
    if (!(Number.isInteger(position) && position >= 0 && position < this.entryCount))
      throw new RangeError(`cannot look up entry ${position}: the layer has ${this.entryCount}`);
    if (kind !== "file") return undefined;
    const bytes = await this.#index.read(this.#index.places.hashes + HASH_BYTES * position, HASH_BYTES, options);
    return `sha256:${bytes.toString("hex")}`;
  }

  /** Closing again waits for the first closing. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= Promise.all([this.#handle.close(), this.#contents.close()]).then(() => undefined);
    return this.#closed;
  }

  async *#read(
    entry: ArchivedEntry,
    range: { offset: number; length: number; signal: AbortSignal | undefined },
  ): AsyncGenerator<Uint8Array> {
    const { signal } = range;
    this.#begin({ signal });
    const expected = range.length === entry.size ? await this.contentDigest(entry, { signal }) : undefined;
    const hash = createHash("sha256");
    const contents = this.#contents;
    const layer = {
      diffID: this.diffID,
      entries: [],
      async *readContents(offset: number, length: number, options?: CallOptions): AsyncGenerator<Uint8Array> {
        for await (const chunk of contents.read(offset, length, options)) {
          if (expected !== undefined) hash.update(chunk);
          yield chunk;
        }
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    yield* readLeaf([layer], { ...range, leaf: createLeaf(entry, 0), path: entry.path });
    if (expected === undefined) return;
    const found = `sha256:${hash.digest("hex")}`;
    if (found !== expected)
      throw new LayerFormatError(
        "archive_invalid",
        `cannot read "${displayPath(entry.path)}" of layer ${this.diffID}: its data has the digest ${found}, not ${expected}`,
      );
  }

  #begin({ signal }: CallOptions): void {
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw new Error("cannot read the layer: it is closed");
  }
}
