import { lstat, readdir, statfs } from "node:fs/promises";
import { join } from "node:path";

import type { CallOptions } from "@lamella/refs";

import { isErrno } from "./durable.js";
import { ImageStoreError } from "./errors.js";

/** How much a store may take. What is written under them is refused before the first byte. */
export interface Quotas {
  /** Of blobs, layer archives and disks, as they lie on disk; holes take nothing. */
  readonly maxBytes?: number | undefined;
  /** What others than root must still be able to write on the store's file system afterwards. */
  readonly minFreeBytes?: number | undefined;
}

/** Keeps count of what is being written by this process, so that works side by side do not each take the same room. */
export interface QuotaGuard {
  /**
   * Keeps room for so many bytes until what it gives is disposed of, if there is any besides what others have of this guard.
   * @throws {ImageStoreError} `quota_exceeded`, `no_space`
   */
  reserve(writing: Writing, options?: CallOptions): Promise<Disposable>;
}

export interface Writing {
  readonly bytes: number;
  /** For messages: "pull alpine:3.20". */
  readonly what: string;
}

export function createQuotaGuard(directory: string, quotas: Quotas): QuotaGuard {
  let reserved = 0;
  return {
    async reserve({ bytes, what }, options = {}) {
      options.signal?.throwIfAborted();
      let left = bytes;
      reserved += bytes;
      const release = (): void => {
        reserved -= left;
        left = 0;
      };
      try {
        await requireRoom(directory, quotas, { what, bytes: reserved }, options);
      } catch (error) {
        release();
        throw error;
      }
      return { [Symbol.dispose]: release };
    },
  };
}

async function requireRoom(
  directory: string,
  { maxBytes, minFreeBytes }: Quotas,
  { bytes, what }: Writing,
  options: CallOptions,
): Promise<void> {
  if (maxBytes !== undefined) {
    const used = await measureStore(directory, options);
    if (used + bytes > maxBytes) {
      const state = `with ${bytes} bytes more than the ${used} of now the store would exceed its quota of ${maxBytes}`;
      throw new ImageStoreError("quota_exceeded", `cannot ${what}: ${state}`);
    }
  }
  if (minFreeBytes !== undefined) {
    const { bavail, bsize } = await statfs(directory);
    const free = bavail * bsize;
    if (free - bytes < minFreeBytes) {
      const state = `of ${free} bytes free it takes ${bytes}, and ${minFreeBytes} are to stay free`;
      throw new ImageStoreError("no_space", `cannot ${what}: ${state}`);
    }
  }
}

const PARTS = ["blobs", "layers", "disks", "ingest"] as const;
const BLOCK_BYTES = 512;

/** What the files of a store take on disk, in bytes: of all its parts, or of one. */
export async function measureStore(
  directory: string,
  options: CallOptions & { parts?: readonly (typeof PARTS)[number][] } = {},
): Promise<number> {
  let blocks = 0;
  const left = (options.parts ?? PARTS).map((part) => join(directory, part));
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    options.signal?.throwIfAborted();
    const parent = path;
    for (const entry of await listed(parent)) {
      const child = join(parent, entry.name);
      if (entry.isDirectory()) left.push(child);
      else blocks += await blocksOf(child);
    }
  }
  return blocks * BLOCK_BYTES;
}

async function listed(path: string): Promise<{ name: string; isDirectory(): boolean }[]> {
  return readdir(path, { withFileTypes: true }).catch((error: unknown) => absent(error, []));
}

/** Others may remove it between listing and looking. */
async function blocksOf(path: string): Promise<number> {
  return lstat(path).then(
    ({ blocks }) => blocks,
    (error: unknown) => absent(error, 0),
  );
}

function absent<Value>(error: unknown, value: Value): Value {
  if (isErrno(error, "ENOENT")) return value;
  throw error;
}
