import { join } from "node:path";

import { LayerFormatError } from "@lamella/layer-format";
import { inspectArchive } from "@lamella/layer-format/node";
import type { ReadDocument } from "@lamella/oci-client";
import { collectContent, digestHex, MAX_DOCUMENT_BYTES } from "@lamella/refs";
import type { CallOptions, Descriptor, Digest, Fetcher, ImageSource, Platform } from "@lamella/refs";
import PQueue from "p-queue";

import type { ContentStore } from "./content-store.js";
import type { TagScope } from "./database/schema.js";
import { checkTag } from "./database/tags.js";
import { isErrno } from "./durable.js";
import { ImageStoreError } from "./errors.js";
import { takeAway } from "./gc-files.js";
import type { ImageStore } from "./image-store.js";
import { readImage } from "./image.js";
import type { Image, ImageLayer } from "./image.js";
import { fetchLayer, readLayer } from "./layer-fetch.js";
import type { Lease, LeaseItem } from "./lease.js";
import type { LayerProgress, OnProgress } from "./progress.js";
import { explained, systemFailure } from "./system-error.js";

export interface PullOptions extends CallOptions {
  platform: Platform;
  /** Keeps the image under this name, blobs and all. Without it only what reading its tree needs is kept. */
  name?: string | undefined;
  /** `registry`: the name is what a registry has under it, and moves none of the user's. `local` by default. */
  scope?: TagScope | undefined;
  /** Refuses a name that stands for something else already, with `name_taken`. */
  onlyIfFree?: boolean | undefined;
  /** Holds what was brought until it ends, which an image without a name needs to be read. By default: until this call ends. */
  lease?: Lease | undefined;
  /** Keeps the blobs of an image without a name too, for a caller who records it before `lease` ends. */
  keepBlobs?: boolean | undefined;
  /** Told what is going to be brought, once it is held and before any layer of it is. Rejecting ends the pull. */
  onImage?: ((image: Image) => Promise<void>) | undefined;
  onProgress?: OnProgress | undefined;
  /** Layers under way at once; 3 by default, as containerd and Docker have it. */
  concurrency?: number | undefined;
}

/**
 * Brings an image into the store. Every layer goes through in one pass: fetched, its digest verified, inflated, its diffID
 * verified, indexed. What is there is not fetched again, nor is what somebody else is fetching, in whichever process: that is waited for. The
 * image is recorded and named last, in one transaction, so that one that is listed is always whole.
 *
 * @throws {ImageStoreError} `not_image`, `name_taken`, `name_invalid`; `no_space`, `too_many_files`, `io_failed`; what the source and the
 *   parsers throw else comes through as it is
 */
export async function pullImage(
  store: ImageStore,
  source: ImageSource,
  target: string,
  options: PullOptions,
): Promise<Image> {
  return explained(`pull ${options.name ?? target}`, () => pull(store, source, target, options));
}

async function pull(store: ImageStore, source: ImageSource, target: string, options: PullOptions): Promise<Image> {
  const { name, lease, scope = "local", onlyIfFree } = options;
  const root = await source.resolve(target, options);
  if (name !== undefined) {
    await store.database.read((queries) => checkTag(queries, { name, descriptor: root, scope, onlyIfFree }), options);
  }
  const documents = new Map<Digest, ReadDocument>();
  const image = await readImage(remembering(store.content, source, documents), root, options);
  const { keepBlobs = name !== undefined } = options;
  const items = leaseItems(image, keepBlobs);
  const bring = async (): Promise<void> => {
    await options.onImage?.(image);
    await bringImage(store, source, { image, documents }, { ...options, keepBlobs });
  };
  if (lease === undefined) await store.lease(`pull ${name ?? root.digest}`, items, bring, options);
  else {
    await lease.add(items, options);
    await bring();
  }
  return image;
}

function leaseItems({ root, descriptor, manifest, layers }: Image, keepBlobs: boolean): LeaseItem[] {
  const blobs = [root, descriptor, manifest.config, ...manifest.layers];
  const archives = layers.map(({ diffID }) => ({ kind: "layer", ref: diffID }) as const);
  if (!keepBlobs) return archives;
  return [...archives, ...blobs.map(({ digest }) => ({ kind: "blob", ref: digest }) as const)];
}

interface ReadImage {
  readonly image: Image;
  /** What has led to it, and its config. */
  readonly documents: ReadonlyMap<Digest, ReadDocument>;
}

async function bringImage(
  store: ImageStore,
  source: ImageSource,
  { image, documents }: ReadImage,
  options: PullOptions & { keepBlobs: boolean },
): Promise<void> {
  const { content, database } = store;
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  const queue = new PQueue({ concurrency: options.concurrency ?? 3 });
  const layers = [...new Map(image.layers.map((layer) => [layer.diffID, layer])).values()];
  for (const { descriptor } of layers) report(options.onProgress, descriptor, "waiting", 0);
  try {
    await queue.addAll(
      layers.map((layer) => () => bringLayer({ content, database }, source, layer, { ...options, signal })),
    );
  } catch (error) {
    failed.abort(error);
    await queue.onIdle();
    throw error;
  }
  if (!options.keepBlobs) return;
  for (const { descriptor, bytes } of documents.values()) await content.push(descriptor, once(bytes), options);
  const { name, scope, onlyIfFree } = options;
  if (name === undefined) return;
  await store.record(image, { name, scope, onlyIfFree, signal: options.signal });
}

/** Where the index and contents of a layer are, whether or not it is there. */
export function layerDirectory(content: ContentStore, diffID: Digest): string {
  return join(content.directory, "layers", digestHex(diffID));
}

/** What several processes bring at once is brought by one of them; the others find it there. */
async function bringLayer(
  { content, database }: Pick<ImageStore, "content" | "database">,
  source: Fetcher,
  layer: ImageLayer,
  options: PullOptions & { keepBlobs: boolean },
): Promise<void> {
  const { signal, keepBlobs, onProgress } = options;
  const { descriptor, diffID } = layer;
  const directory = layerDirectory(content, diffID);
  const look = async (): Promise<{ indexed: boolean; stored: boolean; there: boolean }> => {
    const indexed = await hasLayer(directory, options);
    const stored = (await content.stat(descriptor.digest, options)) === descriptor.size;
    return { indexed, stored, there: indexed && (stored || !keepBlobs) };
  };
  const bring = async (): Promise<boolean> => {
    const { indexed, stored, there } = await look();
    if (there) return false;
    if (!indexed) await (await takeAway({ kind: "layer", ref: diffID, path: directory }))?.();
    const progress = (doneBytes: number): void => report(onProgress, descriptor, "pulling", doneBytes);
    const work = { directory: indexed ? undefined : directory, progress, signal };
    if (!stored && keepBlobs) await fetchLayer(content, source, layer, work);
    else await readLayer((stored ? content : source).fetch(descriptor, { signal }), layer, work);
    return true;
  };
  const brought = !(await look()).there && (await database.exclusively(`layer ${diffID}`, bring, { signal }));
  report(onProgress, descriptor, "done", descriptor.size, !brought);
}

/** A layer archive that is damaged is a cache entry gone bad: as good as none. */
async function hasLayer(directory: string, options: CallOptions): Promise<boolean> {
  try {
    await inspectArchive(directory, options);
    return true;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!(error instanceof LayerFormatError) && !isErrno(error, "ENOENT")) throw error;
    // that it could not be opened says nothing about it
    if (systemFailure(error)?.code === "too_many_files") throw error;
    return false;
  }
}

/** Documents are read from the store where it has them. They are not kept before a lease holds them. */
function remembering(content: ContentStore, source: Fetcher, documents: Map<Digest, ReadDocument>): Fetcher {
  return {
    async *fetch(descriptor, options) {
      const { digest, size } = descriptor;
      const read = (from: Fetcher): Promise<Uint8Array> =>
        collectContent(descriptor, from.fetch(descriptor, options), MAX_DOCUMENT_BYTES, options);
      const isThere = (await content.stat(digest, options)) === size;
      const bytes = await read(isThere ? content : source).catch((error: unknown) => {
        // no lease holds it yet
        if (isThere && error instanceof ImageStoreError && error.code === "not_found") return read(source);
        throw error;
      });
      documents.set(digest, { descriptor, bytes });
      yield bytes;
    },
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
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
