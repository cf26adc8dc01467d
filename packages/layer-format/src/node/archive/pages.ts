import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";

import type { CallOptions } from "@lamella/refs";

import { checkHeader, decodeFooter, indexPlaces, invalidIndex } from "./footer.js";
import type { ArchiveFooter, IndexPlaces } from "./footer.js";
import { HEADER_BYTES, PAGE_BYTES, PAYLOAD_BYTES } from "./layout.js";

/** Pages read at once by a reader that goes through all of them. */
const STREAM_PAGES = 128;
/** Pages kept by a reader that jumps: the upper steps of a binary search come again with each. */
const CACHED_PAGES = 64;

/** Cuts bytes into pages with their checksums. */
export class PageWriter {
  readonly #append: (bytes: Uint8Array) => void;
  readonly #page: Buffer = Buffer.alloc(PAGE_BYTES);
  #used = 0;
  #pages = 0;

  /** @param append - takes each page; it is valid only during the call */
  constructor(append: (bytes: Uint8Array) => void) {
    this.#append = append;
  }

  write(bytes: Uint8Array): void {
    for (let start = 0; start < bytes.length;) {
      const length = Math.min(bytes.length - start, PAYLOAD_BYTES - this.#used);
      this.#page.set(bytes.subarray(start, start + length), this.#used);
      this.#used += length;
      start += length;
      if (this.#used === PAYLOAD_BYTES) this.fill();
    }
  }

  /** Ends a page that has been begun, with zeros. */
  fill(): void {
    if (this.#used === 0) return;
    this.#page.fill(0, this.#used, PAYLOAD_BYTES);
    this.#page.writeUInt32LE(crc32(this.#page.subarray(0, PAYLOAD_BYTES), this.#pages), PAYLOAD_BYTES);
    this.#append(this.#page);
    this.#used = 0;
    this.#pages++;
  }
}

/** Reads an index by places in its payload. Every page is checked before a byte of it is used. */
export class PageReader {
  readonly footer: ArchiveFooter;
  readonly places: IndexPlaces;
  readonly #handle: FileHandle;
  /** In the order of use, the last used at the end. */
  readonly #cache: Map<number, Promise<Buffer>> = new Map();

  private constructor(handle: FileHandle, footer: ArchiveFooter) {
    this.#handle = handle;
    this.footer = footer;
    this.places = indexPlaces(footer.entryCount, footer.bodiesBytes);
  }

  /**
   * Reads the first and the last page.
   * @throws {LayerFormatError} `archive_invalid`
   */
  static async open(handle: FileHandle, { signal }: CallOptions = {}): Promise<PageReader> {
    signal?.throwIfAborted();
    const status = await handle.stat();
    // A directory can be opened too.
    if (!status.isFile()) invalidIndex("it is no file");
    const start = Buffer.alloc(HEADER_BYTES);
    const pages = Math.floor(status.size / PAGE_BYTES);
    // The version comes before all else: other versions may have no pages.
    if (status.size < HEADER_BYTES) invalidIndex(`it has ${status.size} bytes, fewer than any index`);
    await readFully(handle, start, 0);
    checkHeader(start);
    if (pages < 2) invalidIndex(`it has ${status.size} bytes, fewer than any index`);
    signal?.throwIfAborted();
    const last = Buffer.allocUnsafe(PAGE_BYTES);
    await readFully(handle, last, (pages - 1) * PAGE_BYTES);
    checkPage(last, pages - 1);
    return new PageReader(handle, decodeFooter(last, status.size));
  }

  /** Bytes within a section. */
  async read(place: number, length: number, { signal }: CallOptions = {}): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length;) {
      signal?.throwIfAborted();
      const number = Math.floor((place + done) / PAYLOAD_BYTES);
      const start = (place + done) % PAYLOAD_BYTES;
      const page = await this.#pageAt(number);
      done += page.copy(bytes, done, start, Math.min(PAYLOAD_BYTES, start + length - done));
    }
    signal?.throwIfAborted();
    return bytes;
  }

  /** All bytes from `place` to `end`, in pieces that are each valid until the next is asked for. */
  async *stream(place: number, end: number, { signal }: CallOptions = {}): AsyncGenerator<Buffer> {
    const last = Math.ceil(end / PAYLOAD_BYTES);
    const buffer = Buffer.allocUnsafe(STREAM_PAGES * PAGE_BYTES);
    for (let first = Math.floor(place / PAYLOAD_BYTES); first < last; first += STREAM_PAGES) {
      signal?.throwIfAborted();
      const count = Math.min(STREAM_PAGES, last - first);
      const pages = buffer.subarray(0, count * PAGE_BYTES);
      await readFully(this.#handle, pages, first * PAGE_BYTES);
      for (let at = 0; at < count; at++) {
        checkPage(pages.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES), first + at);
        pages.copyWithin(at * PAYLOAD_BYTES, at * PAGE_BYTES, at * PAGE_BYTES + PAYLOAD_BYTES);
      }
      const from = first * PAYLOAD_BYTES;
      yield pages.subarray(Math.max(0, place - from), Math.min(count * PAYLOAD_BYTES, end - from));
    }
  }

  #pageAt(number: number): Promise<Buffer> {
    const page = this.#cache.get(number) ?? this.#load(number);
    this.#cache.delete(number);
    this.#cache.set(number, page);
    const [oldest] = this.#cache.keys();
    if (this.#cache.size > CACHED_PAGES && oldest !== undefined) this.#cache.delete(oldest);
    return page;
  }

  async #load(number: number): Promise<Buffer> {
    try {
      const page = Buffer.allocUnsafe(PAGE_BYTES);
      await readFully(this.#handle, page, number * PAGE_BYTES);
      checkPage(page, number);
      return page;
    } catch (error) {
      // The next reader tries again.
      this.#cache.delete(number);
      throw error;
    }
  }
}

/** A page's number is part of its checksum, so that one page in another's place is found. */
function checkPage(page: Buffer, number: number): void {
  if (crc32(page.subarray(0, PAYLOAD_BYTES), number) !== page.readUInt32LE(PAYLOAD_BYTES))
    invalidIndex(`page ${number} does not fit its checksum`);
}

async function readFully(handle: FileHandle, buffer: Buffer, position: number): Promise<void> {
  for (let done = 0; done < buffer.length;) {
    const { bytesRead } = await handle.read(buffer, done, buffer.length - done, position + done);
    if (bytesRead === 0) invalidIndex(`it ends at ${position + done}`);
    done += bytesRead;
  }
}
