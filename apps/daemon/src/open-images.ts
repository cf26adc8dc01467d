import { layerDirectory, pullImage } from "@lamella/image-store";
import type { Image, ImageStore, StoredImage } from "@lamella/image-store";
import { traceLayers } from "@lamella/layer-format";
import type { Layer, LayerHistory } from "@lamella/layer-format";
import { openLayer } from "@lamella/layer-format/node";
import type { CallOptions, Digest } from "@lamella/refs";

import { DaemonError } from "./errors.js";
import { takeLease } from "./held-lease.js";
import type { HeldLease } from "./held-lease.js";

/** An image of the store, opened to be looked into. */
export interface OpenImage {
  readonly image: Image;
  /** In the order of the image's, base first; each takes memory by its index. */
  readonly layers: readonly Layer[];
  readonly history: LayerHistory;
}

/** Disposing of it gives it back. */
export type HeldImage = OpenImage & AsyncDisposable;

/**
 * Images that are looked into. One is kept open for a short time after it was given back, as who looks at one directory looks at the next too; until it is closed its
 * layer archives are held against garbage collection. Disposing of it closes all, given back or not.
 */
export interface OpenImages extends AsyncDisposable {
  /** How many are open. */
  readonly size: number;
  /** How many of those somebody has. */
  readonly inUse: number;
  /** @throws {DaemonError} `busy` if as many as may be open are in use, `stopping` */
  open(stored: StoredImage, options?: CallOptions): Promise<HeldImage>;
}

export interface OpenImagesOptions {
  /** Images open at once; 8 by default. */
  readonly limit?: number;
  /** Layers open at once, each of which is an open file: 400 by default. An image that has more is open alone. */
  readonly layerLimit?: number;
  /** 30,000 by default. */
  readonly idleMs?: number;
  /** Is told of what could not be closed. */
  readonly onError: (error: unknown) => void;
}

interface Slot {
  readonly opening: Promise<Closable>;
  readonly digest: Digest;
  readonly layerCount: number;
  holders: number;
  idle: NodeJS.Timeout | undefined;
  closing: Promise<void> | undefined;
}

type Closable = OpenImage & AsyncDisposable;

export function createOpenImages(store: ImageStore, options: OpenImagesOptions): OpenImages {
  const { limit = 8, layerLimit = 400, idleMs = 30_000, onError } = options;
  /** The one that was asked for longest ago first. */
  const slots = new Map<Digest, Slot>();
  const closed = new AbortController();

  function close(slot: Slot): Promise<void> {
    clearTimeout(slot.idle);
    if (slots.get(slot.digest) === slot) slots.delete(slot.digest);
    return (slot.closing ??= closeOpened(slot));
  }

  async function closeOpened({ opening }: Slot): Promise<void> {
    // whoever waits for it is told why it could not be opened
    const opened = await opening.catch(() => undefined);
    try {
      await opened?.[Symbol.asyncDispose]();
    } catch (error) {
      onError(error);
    }
  }

  function giveBack(slot: Slot): void {
    if (--slot.holders > 0 || slot.closing !== undefined) return;
    slot.idle = setTimeout(() => void close(slot), idleMs);
    slot.idle.unref();
  }

  function hasRoom(layerCount: number): boolean {
    const layers = [...slots.values()].reduce((sum, slot) => sum + slot.layerCount, layerCount);
    return slots.size === 0 || (slots.size < limit && layers <= layerLimit);
  }

  function makeRoom(layerCount: number): void {
    while (!hasRoom(layerCount)) {
      const unused = [...slots.values()].find(({ holders }) => holders === 0);
      if (unused === undefined) throw new DaemonError("busy", "cannot look into an image: too many are in use");
      void close(unused);
    }
  }

  function slotOf(stored: StoredImage): Slot {
    const digest = stored.manifestDigest;
    const known = slots.get(digest);
    if (known !== undefined) {
      slots.delete(digest);
      slots.set(digest, known);
      return known;
    }
    const layerCount = stored.layers.length;
    makeRoom(layerCount);
    const opening = openImage(store, stored, { signal: closed.signal });
    const slot: Slot = { opening, digest, layerCount, holders: 0, idle: undefined, closing: undefined };
    slots.set(digest, slot);
    opening.catch(() => close(slot));
    return slot;
  }

  return {
    get size() {
      return slots.size;
    },
    get inUse() {
      return [...slots.values()].filter(({ holders }) => holders > 0).length;
    },
    async open(stored, { signal } = {}) {
      signal?.throwIfAborted();
      if (closed.signal.aborted) throw new DaemonError("stopping", "cannot look into an image: the daemon stops");
      const slot = slotOf(stored);
      clearTimeout(slot.idle);
      slot.holders++;
      try {
        const { image, layers, history } = await unlessAborted(slot.opening, signal);
        let held = true;
        const dispose = async (): Promise<void> => {
          if (held) giveBack(slot);
          held = false;
        };
        return { image, layers, history, [Symbol.asyncDispose]: dispose };
      } catch (error) {
        giveBack(slot);
        throw error;
      }
    },
    async [Symbol.asyncDispose]() {
      closed.abort(new DaemonError("stopping", "cannot look into an image: the daemon stops"));
      await Promise.all([...slots.values()].map(close));
    },
  };
}

/** Makes layer archives that are not there: what was pushed has none until it is converted. */
async function openImage(store: ImageStore, stored: StoredImage, { signal }: CallOptions): Promise<Closable> {
  const { manifestDigest, platform } = stored;
  const held = await takeLease(store, `look into ${manifestDigest}`, [], { signal });
  const layers: Layer[] = [];
  try {
    const image = await pullImage(store, store, manifestDigest, { platform, lease: held.lease, signal });
    for (const { diffID } of image.layers) {
      layers.push(await openLayer(layerDirectory(store.content, diffID), { signal }));
    }
    const history = await traceLayers(layers, { signal });
    return { image, layers, history, [Symbol.asyncDispose]: () => closeAll([history, held]) };
  } catch (error) {
    await closeAll([...layers, held]);
    throw error;
  }
}

async function closeAll(resources: readonly (AsyncDisposable | HeldLease)[]): Promise<void> {
  const results = await Promise.allSettled(resources.map((resource) => resource[Symbol.asyncDispose]()));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

async function unlessAborted<Value>(work: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (signal === undefined) return work;
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
