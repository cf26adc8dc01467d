import { statfs } from "node:fs/promises";

import { measureStore } from "@lamella/image-store";
import type { ImageStore } from "@lamella/image-store";
import type { CallOptions, Digest } from "@lamella/refs";
import type { z } from "@hono/zod-openapi";

import type { Usage } from "./api/schemas.js";

type UsageDocument = z.infer<typeof Usage>;

/** What a store takes up, looked at once for all who ask within some time. */
export interface StoreUsage {
  read(options?: CallOptions): Promise<UsageDocument>;
  /** What is known now is not so any more. */
  forget(): void;
}

const KEPT_MS = 2000;
/** Looking takes at most one part in so many of the time, however many images there are. */
const KEPT_TIMES = 10;

interface Look {
  readonly found: Promise<UsageDocument>;
  /** Of `performance.now()`; unknown while it is being looked. */
  until: number;
}

/** @param stopping ends the looking, which no client does on its own */
export function createStoreUsage(store: ImageStore, stopping: AbortSignal): StoreUsage {
  let look: Look | undefined;

  function begin(): Look {
    const begun: Look = { found: readUsage(store, { signal: stopping }), until: Number.POSITIVE_INFINITY };
    void keep(begun);
    return begun;
  }

  async function keep(begun: Look): Promise<void> {
    const started = performance.now();
    try {
      await begun.found;
      const now = performance.now();
      begun.until = now + Math.max(KEPT_MS, KEPT_TIMES * (now - started));
    } catch {
      // who asked is told
      if (look === begun) look = undefined;
    }
  }

  return {
    async read({ signal } = {}) {
      signal?.throwIfAborted();
      if (look === undefined || look.until < performance.now()) look = begin();
      const usage = await look.found;
      signal?.throwIfAborted();
      return usage;
    },
    forget() {
      look = undefined;
    },
  };
}

async function readUsage(store: ImageStore, call: CallOptions): Promise<UsageDocument> {
  const usage = await store.usage(call);
  const names = new Map<Digest, Set<string>>();
  for await (const image of store.list({}, call)) {
    const known = names.get(image.manifestDigest) ?? new Set();
    for (const name of image.names) known.add(name);
    names.set(image.manifestDigest, known);
  }
  const garbage = await store.gc({ dryRun: true, graceMs: 0, ...call });
  const { bavail, bsize } = await statfs(store.directory);
  const measure = (part: "blobs" | "layers" | "disks"): Promise<number> =>
    measureStore(store.directory, { parts: [part], ...call });
  return {
    images: usage.images.map(({ manifestDigest, sizeBytes, sharedBytes, uniqueBytes }) => ({
      manifest_digest: manifestDigest,
      names: [...(names.get(manifestDigest) ?? [])].toSorted(),
      size_bytes: sizeBytes,
      shared_bytes: sharedBytes,
      unique_bytes: uniqueBytes,
    })),
    image_bytes: usage.imageBytes,
    disk_bytes: await measure("disks"),
    layer_bytes: await measure("layers"),
    blob_bytes: await measure("blobs"),
    collectable_bytes: garbage.freedBytes,
    free_bytes: bavail * bsize,
  };
}
