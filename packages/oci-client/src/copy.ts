import {
  type CallOptions,
  type Descriptor,
  type ImageSource,
  isNondistributableType,
  type Platform,
} from "@lamella/refs";

import type { RepositoryAddress } from "./blob-upload.js";
import { toCopyError } from "./copy-error.js";
import { type CopyGraph, readGraph } from "./copy-graph.js";
import { OciClientError } from "./errors.js";
import type { ImageSink } from "./image-sink.js";
import type { ReadDocument } from "./platform-manifest.js";
import type { FetchOptions } from "./repository.js";

/** Where an image is copied from. */
export interface CopySource {
  readonly images: ImageSource;
  /** What the source resolves: a tag, a digest. */
  readonly name: string;
}

/** Where an image is copied to. */
export interface CopyDestination {
  readonly images: ImageSink;
  /** The name that the image gets; `""` for none. */
  readonly name: string;
}

/** What happens to one blob: `waiting`, `copying` (again and again, as bytes pass), then `done` or `skipped`. */
export interface CopyProgress {
  readonly blob: Descriptor;
  readonly state: "waiting" | "copying" | "done" | "skipped";
  /** Whether bytes were sent; a blob that the destination has, or mounts, needs none. */
  readonly isTransferred: boolean;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface CopyOptions extends CallOptions {
  /** Copies only the manifest for this platform. Default: all that the name stands for, so that its digest is kept. */
  platform?: Platform | undefined;
  /** How many blobs are copied at once. Default: 4. */
  concurrency?: number | undefined;
  /** How a registry is sent a blob; see `PushOptions`. */
  chunkBytes?: number | undefined;
  /**
   * Layers that registries must not hold and only their `urls` have, as of old Windows images. `skip`, the default, copies the manifest
   * without them, as others do; `refuse` fails; `copy` takes them from the source like any other: from a
   * registry whose client has `foreignUrls`, from their own address.
   */
  foreignLayers?: "skip" | "refuse" | "copy" | undefined;
  onProgress?: ((event: CopyProgress) => void) | undefined;
}

/** What a copy has done. */
export interface Copied {
  /** The manifest or index that now has the name at the destination. */
  readonly descriptor: Descriptor;
  /** How many blobs the image has, foreign ones left out. */
  readonly blobs: number;
  /** How many of them were sent, and their bytes. */
  readonly transferredBlobs: number;
  readonly transferredBytes: number;
}

const DEFAULT_CONCURRENCY = 4;

/**
 * Copies an image between any two of registry, OCI layout and archive: blobs first, several at once, then manifests, the name last. Documents are
 * copied byte for byte, so digests stay. What the destination has is not read; repositories of one registry lend each other blobs.
 * Broken off, it leaves content without a name at most; begun again, it goes on.
 *
 * @throws {OciClientError} with `side`, and the code of what failed there; `platform_unavailable`, `unsupported`
 */
export async function copyImage(from: CopySource, to: CopyDestination, options: CopyOptions = {}): Promise<Copied> {
  options.signal?.throwIfAborted();
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  try {
    return await copy(from, to, { ...options, signal });
  } catch (error) {
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    stop.abort();
  }
}

interface BoundedOptions extends CopyOptions {
  signal: AbortSignal;
}

async function copy(from: CopySource, to: CopyDestination, options: BoundedOptions): Promise<Copied> {
  const { signal, concurrency = DEFAULT_CONCURRENCY } = options;
  const graph = await onSide("source", signal, () => plan(from, options));
  // The big ones first: they would be alone at the end, and so would be their syncing.
  const blobs = chooseBlobs(graph, options).toSorted((a, b) => b.size - a.size);
  const tally = { transferredBlobs: 0, transferredBytes: 0 };
  for (const blob of blobs) report(options, blob, { state: "waiting", isTransferred: false, doneBytes: 0 });

  await inParallel(blobs, { concurrency, signal }, async (blob, workSignal) => {
    const isTransferred = await copyBlob(from, to, blob, { ...options, signal: workSignal });
    if (!isTransferred) return;
    tally.transferredBlobs++;
    tally.transferredBytes += blob.size;
  });
  for (const level of graph.levels) {
    await inParallel(level, { concurrency, signal }, (document, workSignal) => pushDocument(to, document, workSignal));
  }
  const { descriptor, bytes } = graph.root;
  const name = to.name === "" ? descriptor.digest : to.name;
  const { mediaType } = descriptor;
  await onSide("destination", signal, () => to.images.pushManifest(name, { bytes, mediaType }, { signal }));
  return { descriptor, blobs: blobs.length, ...tally };
}

async function plan({ images, name }: CopySource, { platform, signal }: BoundedOptions): Promise<CopyGraph> {
  const top = await images.resolve(name, { signal });
  return readGraph(images, { mediaType: top.mediaType, digest: top.digest, size: top.size }, { platform, signal });
}

function chooseBlobs({ blobs }: CopyGraph, options: BoundedOptions): Descriptor[] {
  const { foreignLayers = "skip" } = options;
  if (foreignLayers === "copy") return [...blobs];
  return blobs.filter((blob) => {
    if (!isNondistributableType(blob.mediaType)) return true;
    if (foreignLayers === "refuse") {
      const state = "it is a foreign layer, which only its own address has";
      throw new OciClientError("unsupported", `cannot copy ${blob.digest}: ${state}`, { side: "source" });
    }
    report(options, blob, { state: "skipped", isTransferred: false, doneBytes: 0 });
    return false;
  });
}

/** Whether bytes were sent. */
async function copyBlob(
  from: CopySource,
  to: CopyDestination,
  blob: Descriptor,
  options: BoundedOptions,
): Promise<boolean> {
  const { signal, chunkBytes } = options;
  // Sources that lend nothing pass over the option.
  const images: { fetch(blob: Descriptor, options: FetchOptions): AsyncIterable<Uint8Array> } = from.images;
  let isTransferred = false;
  async function* content({ isLent = false } = {}): AsyncGenerator<Uint8Array, void, undefined> {
    isTransferred = true;
    let doneBytes = 0;
    try {
      for await (const chunk of images.fetch(blob, { signal, isLent })) {
        doneBytes += chunk.byteLength;
        report(options, blob, { state: "copying", isTransferred, doneBytes });
        yield chunk;
      }
    } catch (error) {
      throw toCopyError(error, "source", signal);
    }
  }
  const pushOptions = { signal, chunkBytes, mountFrom: addressOf(from.images), isVerified: true };
  await onSide("destination", signal, () => to.images.push(blob, content, pushOptions));
  report(options, blob, { state: "done", isTransferred, doneBytes: blob.size });
  return isTransferred;
}

async function pushDocument(to: CopyDestination, document: ReadDocument, signal: AbortSignal): Promise<void> {
  const { descriptor, bytes } = document;
  async function* content(): AsyncGenerator<Uint8Array, void, undefined> {
    yield bytes;
  }
  await onSide("destination", signal, () => to.images.push(descriptor, content, { signal }));
}

/** Repositories say where they are; other sources are nowhere that a registry could take from. */
function addressOf(images: ImageSource & { address?: RepositoryAddress }): RepositoryAddress | undefined {
  return images.address;
}

async function onSide<Result>(
  side: "source" | "destination",
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw toCopyError(error, side, signal);
  }
}

/** The first failure ends the rest, and is thrown once all have ended. */
async function inParallel<Item>(
  items: readonly Item[],
  { concurrency, signal }: { concurrency: number; signal: AbortSignal },
  work: (item: Item, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const workSignal = AbortSignal.any([signal, stop.signal]);
  const failures: unknown[] = [];
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (workSignal.aborted) return;
      try {
        await work(item, workSignal);
      } catch (error) {
        failures.push(error);
        stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker));
  signal.throwIfAborted();
  if (failures.length > 0) throw failures[0];
}

function report({ onProgress }: CopyOptions, blob: Descriptor, event: Omit<CopyProgress, "blob" | "totalBytes">): void {
  onProgress?.({ blob, totalBytes: blob.size, ...event });
}
