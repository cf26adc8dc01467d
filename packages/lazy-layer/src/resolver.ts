import { setMaxListeners } from "node:events";

import type { CallOptions, Descriptor, Digest } from "@lamella/refs";
import PQueue from "p-queue";

import { type BlobSource, OpenBlob } from "./blob/open-blob.js";
import type { BlobCache } from "./cache/blob-cache.js";
import { type ChunkMemory, createChunkMemory } from "./chunk-memory.js";
import { LazyLayerError } from "./errors.js";
import type { ResolvedBlob } from "./lazy-blob.js";
import { LazyBlobHandle } from "./lazy-blob-handle.js";
import { type LazyLayer, LazyLayerHandle } from "./lazy-layer.js";
import { OpenLayer, OpenTocLayer } from "./open-layer.js";
import { createScheduler, type Scheduler } from "./scheduler.js";
import { createShared, type Lease, type Shared } from "./shared.js";
import { readTocOfBlob } from "./toc-of-blob.js";

export interface LayerResolverOptions {
  readonly cache: BlobCache;
  /** Requests at a time; 8 by default. */
  concurrency?: number | undefined;
  /** How long a request may take for 64 KiB, for each MiB, and to have its turn; 30 s by default. */
  timeoutMs?: number | undefined;
  /** Bytes of unpacked chunks that are kept in memory; 64 MiB by default. */
  memoryBytes?: number | undefined;
  /** How long a layer that was reached counts as reachable; a minute by default. */
  checkIntervalMs?: number | undefined;
  /** The clock for that, in milliseconds; never goes back. */
  now?: (() => number) | undefined;
}

export interface ResolveLayerOptions extends CallOptions {
  /** The digest of the uncompressed tar, as the image's configuration has it. */
  readonly diffID: Digest;
  /** Gives the blob with the table of an eStargz layer that has it elsewhere; asked only for such a layer. */
  externalToc?: ((options: CallOptions) => Promise<Uint8Array | undefined>) | undefined;
}

/**
 * Opens layers where they lie. Layers that are asked for again, from the same source, are the same: one reader, one table, one set of requests. All of them share
 * a scheduler, a memory and a cache.
 */
export interface LayerResolver extends AsyncDisposable {
  /** What was unpacked last of all layers, for openers of other kinds of layers too. */
  readonly memory: ChunkMemory;
  /**
   * A layer by its table of contents: two requests, or one where the table is small. Let go of it with `done`.
   * @throws {LazyLayerError} `toc_missing`, `timeout`, `unavailable`, `closed`
   * @throws what `readToc` throws
   */
  resolve(source: BlobSource, descriptor: Descriptor, options: ResolveLayerOptions): Promise<LazyLayer>;
  /** A layer of any kind, without a look into it. Let go of it with `done`. @throws {LazyLayerError} `closed` */
  resolveBlob(
    source: BlobSource,
    descriptor: Descriptor,
    options: CallOptions & { readonly diffID: Digest },
  ): Promise<ResolvedBlob>;
  /** Ends everything that is under way, and lets go of all layers. May be called twice. */
  close(): Promise<void>;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** Tables of contents that are read at a time: each may take 50 MiB packed. */
const TABLES_AT_A_TIME = 4;
const DEFAULT_MEMORY_BYTES = 64 * 2 ** 20;
const DEFAULT_CHECK_INTERVAL_MS = 60_000;

/** The cache is the caller's, who may share it between resolvers. */
export function createLayerResolver(options: LayerResolverOptions): LayerResolver {
  return new SharingResolver(options);
}

interface HeldBlob {
  readonly blob: OpenBlob;
  readonly unpin: () => Promise<void>;
}

interface HeldLayer {
  readonly layer: OpenTocLayer;
  readonly lease: Lease<HeldBlob>;
}

class SharingResolver implements LayerResolver {
  readonly #cache: BlobCache;
  readonly #scheduler: Scheduler;
  readonly memory: ChunkMemory;
  readonly #timeoutMs: number;
  readonly #check: { readonly checkIntervalMs: number; readonly now: () => number };
  readonly #closing = new AbortController();
  readonly #tables = new PQueue({ concurrency: TABLES_AT_A_TIME });
  /** Layers of two sources are never the same: one may be allowed what the other is not. */
  readonly #sources = new WeakMap<BlobSource, number>();
  #sourceCount = 0;
  readonly #blobs: Shared<HeldBlob> = createShared(async ({ blob, unpin }) => {
    await blob.close();
    await unpin();
  });
  readonly #layers: Shared<HeldLayer> = createShared(async ({ layer, lease }) => {
    layer.close();
    await lease.release();
  });

  constructor({
    cache,
    concurrency,
    timeoutMs = DEFAULT_TIMEOUT_MS,
    memoryBytes = DEFAULT_MEMORY_BYTES,
    checkIntervalMs = DEFAULT_CHECK_INTERVAL_MS,
    now = () => performance.now(),
  }: LayerResolverOptions) {
    this.#cache = cache;
    this.#scheduler = createScheduler({ concurrency });
    this.memory = createChunkMemory(memoryBytes);
    this.#timeoutMs = timeoutMs;
    this.#check = { checkIntervalMs, now };
    // each layer that is being opened has one
    setMaxListeners(0, this.#closing.signal);
  }

  async resolve(source: BlobSource, descriptor: Descriptor, options: ResolveLayerOptions): Promise<LazyLayer> {
    const { diffID, signal } = options;
    this.#closing.signal.throwIfAborted();
    const key = this.#keyOf(source, descriptor, diffID);
    const { value, release } = await this.#layers.acquire(key, () => this.#openLayer(source, descriptor, options), {
      signal,
    });
    try {
      // Somebody may have opened it long ago.
      await value.layer.check({ signal }).catch(async (error: unknown) => {
        signal?.throwIfAborted();
        await value.layer.refresh(source, { signal }).catch(() => {
          throw error;
        });
      });
      return new LazyLayerHandle(value.layer, release);
    } catch (error) {
      await release();
      throw error;
    }
  }

  async resolveBlob(
    source: BlobSource,
    descriptor: Descriptor,
    { diffID, signal }: CallOptions & { readonly diffID: Digest },
  ): Promise<ResolvedBlob> {
    this.#closing.signal.throwIfAborted();
    const { value, release } = await this.#acquireBlob(source, descriptor, { signal });
    return new LazyBlobHandle(new OpenLayer({ blob: value.blob, diffID, ...this.#check }), release);
  }

  async close(): Promise<void> {
    this.#closing.abort(new LazyLayerError("closed", "cannot read the layer: its resolver is closed"));
    for (const { layer } of await this.#layers.open()) layer.close();
    for (const { blob, unpin } of await this.#blobs.open()) {
      await blob.close();
      await unpin();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Nobody's own call: whoever waits may go away. */
  async #openLayer(source: BlobSource, descriptor: Descriptor, options: ResolveLayerOptions): Promise<HeldLayer> {
    const { diffID, externalToc } = options;
    const { signal } = this.#closing;
    const lease = await this.#acquireBlob(source, descriptor, { signal });
    try {
      const { blob } = lease.value;
      const toc = await this.#tables.add(() => readTocOfBlob(blob, descriptor, { externalToc, signal }));
      if (toc === undefined) throw noToc(descriptor);
      const layer = new OpenTocLayer({ blob, toc, diffID, memory: this.memory, ...this.#check });
      return { layer, lease };
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  #acquireBlob(source: BlobSource, descriptor: Descriptor, options: CallOptions): Promise<Lease<HeldBlob>> {
    const key = `${this.#numberOf(source)} ${descriptor.digest} ${descriptor.size}`;
    return this.#blobs.acquire(key, () => this.#openBlob(source, descriptor), options);
  }

  async #openBlob(source: BlobSource, descriptor: Descriptor): Promise<HeldBlob> {
    const { signal } = this.#closing;
    const cached = await this.#cache.blob(descriptor, { signal });
    const unpin = await cached.pin();
    const timeoutMs = this.#timeoutMs;
    return { blob: new OpenBlob({ source, descriptor, cached, scheduler: this.#scheduler, timeoutMs }), unpin };
  }

  #keyOf(source: BlobSource, { digest, size, annotations = {} }: Descriptor, diffID: Digest): string {
    return JSON.stringify([this.#numberOf(source), digest, size, diffID, Object.entries(annotations)]);
  }

  #numberOf(source: BlobSource): number {
    const number = this.#sources.get(source) ?? this.#sourceCount++;
    this.#sources.set(source, number);
    return number;
  }
}

function noToc({ digest }: Descriptor): LazyLayerError {
  return new LazyLayerError("toc_missing", `cannot read layer ${digest} file by file: it has no table of contents`);
}
