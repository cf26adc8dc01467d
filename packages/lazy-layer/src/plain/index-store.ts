import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { CallOptions, Digest } from "@lamella/refs";

import { LazyLayerError } from "../errors.js";
import { MAX_INDEX_BYTES } from "./index-layout.js";

/**
 * Keeps the indexes of layers by their blobs' digests. Whoever gives one to `openPlainLayer` vouches for what it holds: an index that
 * somebody else has made can show a layer other files than it has.
 */
export interface PlainIndexStore {
  /** The bytes of an index, which stay valid, or undefined if there is none. */
  get(digest: Digest, options?: CallOptions): Promise<Uint8Array | undefined>;
  /**
   * Keeps an index in the place of one that is there: a reader sees the old or the new.
   * @throws {LazyLayerError} `cache_unusable`: it is not kept; nothing else is lost.
   */
  put(digest: Digest, index: Uint8Array, options?: CallOptions): Promise<void>;
}

/**
 * A directory with a file for each index, which any number of processes may share. It is a cache: files may be removed at any time, and what is
 * damaged counts as missing. Nothing is open between two calls.
 *
 * @throws {LazyLayerError} `cache_unusable` if it cannot be made
 */
export async function openPlainIndexStore(directory: string, options: CallOptions = {}): Promise<PlainIndexStore> {
  options.signal?.throwIfAborted();
  const pathOf = (digest: Digest): string => join(directory, `${digest.replace(":", "-")}.index`);
  await mkdir(directory, { recursive: true }).catch((cause: Error) => {
    throw unusable(`open index store ${directory}`, cause);
  });
  return {
    async get(digest, { signal } = {}) {
      signal?.throwIfAborted();
      return readWhole(pathOf(digest), signal);
    },
    async put(digest, index, { signal } = {}) {
      signal?.throwIfAborted();
      const path = pathOf(digest);
      const temporary = `${path}.new-${randomUUID()}`;
      try {
        await writeFile(temporary, index, { signal, flag: "wx" });
        await rename(temporary, path);
      } catch (error) {
        // What it cannot write it may not be able to remove.
        await rm(temporary, { force: true }).catch(() => undefined);
        signal?.throwIfAborted();
        throw unusable(`keep index ${path}`, error as Error);
      }
    },
  };
}

/** A file that is not there, no file or too large counts as missing. */
async function readWhole(path: string, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
  const handle = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw unusable(`read index ${path}`, error);
  });
  if (handle === undefined) return undefined;
  try {
    const status = await handle.stat();
    if (!status.isFile() || status.size > MAX_INDEX_BYTES) return undefined;
    return await handle.readFile({ signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw unusable(`read index ${path}`, error as Error);
  } finally {
    await handle.close();
  }
}

function unusable(act: string, cause: Error): LazyLayerError {
  return new LazyLayerError("cache_unusable", `cannot ${act}: ${cause.message}`, { cause });
}
