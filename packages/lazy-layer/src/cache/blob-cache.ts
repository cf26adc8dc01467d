import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import type { CallOptions, Descriptor } from "@lamella/refs";

import { LazyLayerError } from "../errors.js";
import { type CachedBlob, openCachedBlob } from "./cached-blob.js";
import { createCacheQuota } from "./quota.js";

export interface BlobCacheOptions extends CallOptions {
  /** Bytes that all blobs together may have; 16 GiB by default. */
  quotaBytes?: number | undefined;
  /** The clock, in milliseconds since 1970: what was read longest ago goes first. */
  now?: (() => number) | undefined;
}

/**
 * Parts of blobs on disk, as they lie in registries: shared by images and by processes, found again after a restart.
 *
 * It holds no more than its quota: what was read longest ago is evicted first, unless its blob is in use. If what is in use fills the quota alone, reads go on
 * and are not kept. Nothing in it is trusted: what was damaged is found out when it is unpacked, and fetched again. Losing all of it loses nothing.
 *
 * Nothing is open between two calls: there is nothing to close.
 */
export interface BlobCache {
  readonly directory: string;
  readonly quotaBytes: number;
  /** What is there of a blob. */
  blob(descriptor: Pick<Descriptor, "digest" | "size">, options?: CallOptions): Promise<CachedBlob>;
  /** Bytes of all blobs, counted on the disk. */
  usedBytes(options?: CallOptions): Promise<number>;
}

const DEFAULT_QUOTA_BYTES = 16 * 2 ** 30;

/**
 * Opens or makes a cache. Any number of processes may work in one directory.
 * @throws {LazyLayerError} `cache_unusable`
 * @throws {RangeError} for a quota that is not a positive number
 */
export async function openBlobCache(directory: string, options: BlobCacheOptions = {}): Promise<BlobCache> {
  const { quotaBytes = DEFAULT_QUOTA_BYTES, now = Date.now, signal } = options;
  signal?.throwIfAborted();
  if (!(quotaBytes > 0)) throw new RangeError(`cannot open cache ${directory}: its quota is ${quotaBytes} bytes`);
  await mkdir(directory, { recursive: true }).catch((cause: Error) => {
    throw new LazyLayerError("cache_unusable", `cannot open cache ${directory}: ${cause.message}`, { cause });
  });
  const quota = createCacheQuota(directory, quotaBytes, now);
  return {
    directory,
    quotaBytes,
    async blob({ digest, size }, call = {}) {
      call.signal?.throwIfAborted();
      return openCachedBlob(join(directory, digest.replace(":", "-")), { size, quota, now });
    },
    async usedBytes(call = {}) {
      call.signal?.throwIfAborted();
      return quota.usedBytes();
    },
  };
}
