import { rm } from "node:fs/promises";
import { join } from "node:path";

import { LayerFormatError } from "@lamella/layer-format";
import { openLayer } from "@lamella/layer-format/node";
import { digestHex } from "@lamella/refs";
import type { CallOptions, Descriptor, Digest, Fetcher, ImageSource, Platform } from "@lamella/refs";
import PQueue from "p-queue";

import type { ContentStore } from "./content-store.js";
import { isErrno } from "./durable.js";
import { readImage } from "./image.js";
import type { Image, ImageLayer } from "./image.js";
import { fetchLayer, readLayer } from "./layer-fetch.js";
import type { LayerProgress, OnProgress } from "./progress.js";

export interface PullOptions extends CallOptions {
  platform: Platform;
  /** Keeps the image under this name, blobs and all. Without it only what reading its tree needs is kept. */
  name?: string | undefined;
  onProgress?: OnProgress | undefined;
  /** Layers under way at once; 3 by default, as containerd and Docker have it. */
  concurrency?: number | undefined;
}

/**
 * Brings an image into the store. Every layer goes through in one pass: fetched, its digest verified, inflated, its diffID
 * verified, indexed. What is there is not fetched again; the name is set last, so that a named image is always whole.
 */
export async function pullImage(
  content: ContentStore,
  source: ImageSource,
  target: string,
  options: PullOptions,
): Promise<Image> {
  const root = await source.resolve(target, options);
  const image = await readImage(keeping(content, source), root, options);
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  const queue = new PQueue({ concurrency: options.concurrency ?? 3 });
  const keepBlobs = options.name !== undefined;
  const layers = [...new Map(image.layers.map((layer) => [layer.diffID, layer])).values()];
  for (const { descriptor } of layers) report(options.onProgress, descriptor, "waiting", 0);
  try {
    await queue.addAll(
      layers.map((layer) => () => bringLayer(content, source, layer, { ...options, keepBlobs, signal })),
    );
  } catch (error) {
    failed.abort(error);
    await queue.onIdle();
    throw error;
  }
  if (options.name !== undefined) await content.names.set(options.name, root, options);
  return image;
}

/** Where the index and contents of a layer are, whether or not it is there. */
export function layerDirectory(content: ContentStore, diffID: Digest): string {
  return join(content.directory, "layers", digestHex(diffID));
}

async function bringLayer(
  content: ContentStore,
  source: Fetcher,
  { descriptor, diffID }: ImageLayer,
  options: PullOptions & { keepBlobs: boolean },
): Promise<void> {
  const { signal, keepBlobs, onProgress } = options;
  const directory = layerDirectory(content, diffID);
  const indexed = await hasLayer(directory, options);
  const stored = (await content.stat(descriptor.digest, options)) === descriptor.size;
  const cached = indexed && (stored || !keepBlobs);
  if (!cached) {
    const progress = (doneBytes: number): void => report(onProgress, descriptor, "pulling", doneBytes);
    const work = { directory: indexed ? undefined : directory, progress, signal };
    const layer = { descriptor, diffID };
    if (!stored && keepBlobs) await fetchLayer(content, source, layer, work);
    else await readLayer((stored ? content : source).fetch(descriptor, { signal }), layer, work);
  }
  report(onProgress, descriptor, "done", descriptor.size, cached);
}

/** A layer archive that cannot be opened is a cache entry gone bad: it is dropped and made again. */
async function hasLayer(directory: string, options: CallOptions): Promise<boolean> {
  try {
    const layer = await openLayer(directory, options);
    await layer[Symbol.asyncDispose]();
    return true;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof LayerFormatError) && !isErrno(error, "ENOENT")) throw error;
    await rm(directory, { recursive: true, force: true });
    return false;
  }
}

/** Documents are read from the store where it has them, and kept where it has not. */
function keeping(content: ContentStore, source: Fetcher): Fetcher {
  return {
    async *fetch(descriptor, options) {
      if ((await content.stat(descriptor.digest, options)) !== descriptor.size) {
        await content.push(descriptor, source.fetch(descriptor, options), options);
      }
      yield* content.fetch(descriptor, options);
    },
  };
}

function report(
  onProgress: OnProgress | undefined,
  { digest, size }: Descriptor,
  state: LayerProgress["state"],
  doneBytes: number,
  cached = false,
): void {
  onProgress?.({ layer: digest, state, cached, doneBytes, totalBytes: size });
}
