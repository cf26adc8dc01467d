import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { BlobRange } from "@lamella/refs";

import { createExtentList, endOf, type ExtentList } from "./extent-list.js";
import { extentName, NEW_PREFIX, parseExtentName } from "./extent-name.js";
import { createSlabs, SLAB_BYTES, type Slabs } from "./slabs.js";
import { type CacheQuota, pinBlob } from "./quota.js";

/** What a cache holds of one blob. */
export interface CachedBlob {
  /** The extent that holds a byte and reaches furthest behind it. */
  covering(offset: number): BlobRange | undefined;
  /** Where the first extent behind a byte begins. */
  nextAfter(offset: number): number | undefined;
  /** Bytes of the blob that are there. */
  heldBytes(): number;
  /** Takes in what other processes have written or evicted since. */
  refresh(): Promise<void>;
  /** Bytes of an extent; undefined if it is gone or not what its name says: it is forgotten then. */
  read(extent: BlobRange, offset: number, length: number): Promise<Uint8Array | undefined>;
  /** Keeps bytes, at once or not at all. False if there is no room for them. */
  write(offset: number, bytes: Uint8Array): Promise<boolean>;
  /** Forgets every extent that has bytes of a range. */
  drop(range: BlobRange): Promise<void>;
  /** Keeps the blob from being evicted, until it is called. */
  pin(): Promise<() => Promise<void>>;
  /** Closes what is kept open for the next read. It may be read on. */
  close(): Promise<void>;
}

export interface CachedBlobOptions {
  /** Bytes of the blob. */
  readonly size: number;
  readonly quota: CacheQuota;
  readonly now: () => number;
}

/** Files that are kept open: reading on costs one call then. */
const OPEN_HANDLES = 8;
/** Of a blob, in memory: small files lie beside each other. */
const SLABS = 32;
/** How exactly it is known when an extent was read last. */
const RECENCY_MS = 60_000;
/** A FIFO or a link under an extent's name must not be followed, nor waited for. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export async function openCachedBlob(directory: string, options: CachedBlobOptions): Promise<CachedBlob> {
  const blob = new CachedBlobDirectory(directory, options);
  await blob.refresh();
  return blob;
}

class CachedBlobDirectory implements CachedBlob {
  readonly #directory: string;
  readonly #size: number;
  readonly #quota: CacheQuota;
  readonly #now: () => number;
  readonly #touched = new Map<string, number>();
  /** Of extents that were read last, the latest last. */
  readonly #handles = new Map<string, Promise<FileHandle | undefined>>();
  readonly #slabs: Slabs = createSlabs(SLABS);
  #list: ExtentList = createExtentList();
  #listedAt = -1;
  /** Listings so far, and of them the one that is the list now. */
  #listings = 0;
  #listing = 0;
  /** What was written during each listing that goes on. */
  readonly #meanwhile = new Set<BlobRange[]>();

  constructor(directory: string, { size, quota, now }: CachedBlobOptions) {
    this.#directory = directory;
    this.#size = size;
    this.#quota = quota;
    this.#now = now;
  }

  covering(offset: number): BlobRange | undefined {
    return this.#list.covering(offset);
  }

  nextAfter(offset: number): number | undefined {
    return this.#list.nextAfter(offset);
  }

  heldBytes(): number {
    let bytes = 0;
    let position = 0;
    for (const extent of this.#list.extents) {
      const start = Math.max(position, extent.offset);
      bytes += Math.max(0, endOf(extent) - start);
      position = Math.max(position, endOf(extent));
    }
    return bytes;
  }

  async refresh(): Promise<void> {
    const listing = ++this.#listings;
    const changedAt = await this.#changedAt();
    if (changedAt === this.#listedAt) return;
    const written: BlobRange[] = [];
    this.#meanwhile.add(written);
    const names = await readdir(this.#directory).catch(() => []);
    this.#meanwhile.delete(written);
    // One that began later knows more.
    if (listing < this.#listing) return;
    const list = createExtentList();
    for (const name of names) {
      const extent = parseExtentName(name);
      if (extent !== undefined && endOf(extent) <= this.#size) list.add(extent);
    }
    for (const extent of written) list.add(extent);
    // What others wrote meanwhile is listed the next time.
    [this.#list, this.#listing, this.#listedAt] = [list, listing, changedAt];
  }

  async read(extent: BlobRange, offset: number, length: number): Promise<Uint8Array | undefined> {
    const start = offset - extent.offset;
    const index = Math.floor(start / SLAB_BYTES);
    const slabStart = index * SLAB_BYTES;
    if (start + length > slabStart + SLAB_BYTES) return this.#readFile(extent, start, length);
    const name = extentName(extent);
    let slab = this.#slabs.get(name, index);
    if (slab === undefined) {
      slab = await this.#readFile(extent, slabStart, Math.min(SLAB_BYTES, extent.length - slabStart));
      if (slab !== undefined) this.#slabs.set(name, index, slab);
    } else await this.#touch(name);
    return slab?.subarray(start - slabStart, start - slabStart + length);
  }

  async write(offset: number, bytes: Uint8Array): Promise<boolean> {
    const extent = { offset, length: bytes.length };
    const holder = this.#list.covering(offset);
    if (bytes.length === 0 || (holder !== undefined && endOf(holder) >= endOf(extent))) return true;
    if (!(await this.#quota.write(bytes.length, () => this.#put(extentName(extent), bytes)))) return false;
    for (const written of this.#meanwhile) written.push(extent);
    for (const superfluous of this.#list.add(extent) ?? []) await this.#remove(superfluous);
    return true;
  }

  async drop(range: BlobRange): Promise<void> {
    const dropped = this.#list.extents.filter((extent) => extent.offset < endOf(range) && endOf(extent) > range.offset);
    for (const extent of dropped) await this.#remove(extent);
  }

  async pin(): Promise<() => Promise<void>> {
    try {
      await mkdir(this.#directory, { recursive: true });
      return await pinBlob(this.#directory);
    } catch {
      // A disk that takes no pin takes no extents either.
      return async () => {};
    }
  }

  async #readFile(extent: BlobRange, start: number, length: number): Promise<Uint8Array | undefined> {
    const name = extentName(extent);
    const bytes = new Uint8Array(length);
    // A file that was kept open may have been replaced.
    for (let attempt = 0; attempt < 2; attempt++) {
      const handle = await this.#handleOf(name, extent.length);
      const read = await handle?.read(bytes, 0, length, start).catch(() => undefined);
      if (read?.bytesRead === length) {
        await this.#touch(name);
        return bytes;
      }
      await this.#closeHandle(name);
    }
    // What cannot be read is as good as gone: the registry has it.
    await this.#remove(extent);
    return undefined;
  }

  async close(): Promise<void> {
    this.#slabs.clear();
    for (const name of this.#handles.keys()) await this.#closeHandle(name);
  }

  /** Undefined for what is no file of this length. */
  #handleOf(name: string, length: number): Promise<FileHandle | undefined> {
    const handle = this.#handles.get(name) ?? this.#openHandle(name, length);
    this.#handles.delete(name);
    this.#handles.set(name, handle);
    const [oldest] = this.#handles.keys();
    if (this.#handles.size > OPEN_HANDLES && oldest !== undefined) void this.#closeHandle(oldest);
    return handle;
  }

  async #openHandle(name: string, length: number): Promise<FileHandle | undefined> {
    const handle = await open(join(this.#directory, name), READ_FLAGS).catch(() => undefined);
    const status = await handle?.stat().catch(() => undefined);
    if (status?.isFile() === true && status.size === length) {
      if (!this.#touched.has(name)) this.#touched.set(name, status.mtimeMs);
      return handle;
    }
    await handle?.close();
    return undefined;
  }

  /** Waits for reads that are under way. */
  async #closeHandle(name: string): Promise<void> {
    const handle = this.#handles.get(name);
    this.#handles.delete(name);
    await (await handle)?.close().catch(() => {});
  }

  /** A full or read-only disk is no reason not to read on. */
  async #put(name: string, bytes: Uint8Array): Promise<boolean> {
    const temporary = join(this.#directory, `${NEW_PREFIX}${randomUUID()}`);
    try {
      await mkdir(this.#directory, { recursive: true });
      const isListed = (await this.#changedAt()) === this.#listedAt;
      await writeFile(temporary, bytes);
      await rename(temporary, join(this.#directory, name));
      // Our own change needs no new listing.
      if (isListed) this.#listedAt = await this.#changedAt();
      return true;
    } catch {
      await unlink(temporary).catch(() => {});
      return false;
    }
  }

  async #remove(extent: BlobRange): Promise<void> {
    this.#list.remove(extent);
    this.#touched.delete(extentName(extent));
    this.#slabs.remove(extentName(extent));
    await this.#closeHandle(extentName(extent));
    const isGone = await unlink(join(this.#directory, extentName(extent))).then(
      () => true,
      () => false,
    );
    if (isGone) this.#quota.release(extent.length);
  }

  async #touch(name: string): Promise<void> {
    const now = this.#now();
    if (now - (this.#touched.get(name) ?? 0) < RECENCY_MS) return;
    this.#touched.set(name, now);
    const time = new Date(now);
    await utimes(join(this.#directory, name), time, time).catch(() => {});
  }

  async #changedAt(): Promise<number> {
    return (await stat(this.#directory).catch(() => undefined))?.mtimeMs ?? -1;
  }
}
