import type { ChunkSource, LayerToc } from "@lamella/layer-format";
import type { CallOptions, Descriptor, Digest, Pusher } from "@lamella/refs";

import { fetchMissing } from "./background-fetch.js";
import type { BlobSource, OpenBlob } from "./blob/open-blob.js";
import type { ChunkMemory } from "./chunk-memory.js";
import { completeBlob } from "./complete-blob.js";
import { LazyLayerError } from "./errors.js";
import type { LazyBlobInfo } from "./lazy-blob.js";
import { createLazyChunks } from "./lazy-chunks.js";
import { orAborted } from "./or-aborted.js";

export interface OpenLayerOptions {
  readonly blob: OpenBlob;
  readonly diffID: Digest;
  readonly checkIntervalMs: number;
  /** In milliseconds; never goes back. */
  readonly now: () => number;
}

/** What all who hold a layer share. */
export class OpenLayer {
  readonly blob: OpenBlob;
  readonly diffID: Digest;
  protected prefetchedBytes = 0;
  readonly #checkIntervalMs: number;
  readonly #now: () => number;
  #checkedAt: number;

  constructor({ blob, diffID, checkIntervalMs, now }: OpenLayerOptions) {
    this.blob = blob;
    this.diffID = diffID;
    this.#checkIntervalMs = checkIntervalMs;
    this.#now = now;
    this.#checkedAt = now();
  }

  get descriptor(): Descriptor {
    return this.blob.descriptor;
  }

  info(): LazyBlobInfo {
    const { digest, size } = this.descriptor;
    const { heldBytes: fetchedSize, readTime, lastError: error } = this.blob;
    return { digest, size, fetchedSize, prefetchSize: this.prefetchedBytes, readTime, error };
  }

  async check(options: CallOptions): Promise<void> {
    if (this.#now() - this.#checkedAt < this.#checkIntervalMs) return;
    await this.blob.probe(this.blob.source, options);
    this.#checkedAt = this.#now();
  }

  async refresh(source: BlobSource, options: CallOptions): Promise<void> {
    await this.blob.probe(source, options);
    this.blob.use(source);
    this.#checkedAt = this.#now();
  }

  async backgroundFetch(options: CallOptions): Promise<void> {
    await fetchMissing(this.blob, this.blob.size, options);
  }

  async complete(sink: Pusher, options: CallOptions): Promise<void> {
    await completeBlob(this.blob, sink, { ...options, diffID: this.diffID });
  }
}

export interface OpenTocLayerOptions extends OpenLayerOptions {
  readonly toc: LayerToc;
  readonly memory: ChunkMemory;
}

/** The same of a layer with a table of contents. */
export class OpenTocLayer extends OpenLayer {
  readonly toc: LayerToc;
  readonly chunks: ChunkSource;
  readonly #closing = new AbortController();
  #prefetch: Promise<void> | undefined;
  #prefetchEnded: () => void = () => {};
  readonly #prefetchEnd: Promise<void>;

  constructor({ toc, memory, ...options }: OpenTocLayerOptions) {
    super(options);
    this.toc = toc;
    const { blob } = options;
    const chunks = createLazyChunks(blob, toc, memory, this.#closing.signal);
    this.chunks = {
      ...chunks,
      readChunks(first, count, call) {
        blob.noteRead();
        return chunks.readChunks(first, count, call);
      },
    };
    this.#prefetchEnd = new Promise((resolve) => {
      this.#prefetchEnded = resolve;
    });
  }

  override async complete(sink: Pusher, options: CallOptions): Promise<void> {
    await completeBlob(this.blob, sink, { ...options, diffID: this.diffID, toc: this.toc });
  }

  async prefetch(sizeBytes: number, { signal }: CallOptions): Promise<void> {
    const endOffset = Math.min(this.toc.prefetchBytes ?? Math.max(0, sizeBytes), this.blob.size);
    this.#prefetch ??= this.#runPrefetch(endOffset);
    await orAborted(this.#prefetch, signal);
  }

  async waitForPrefetch(timeoutMs: number, { signal }: CallOptions): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const state = `it has not ended within ${timeoutMs} ms`;
        reject(new LazyLayerError("timeout", `cannot wait for the prefetch of ${this.descriptor.digest}: ${state}`));
      }, timeoutMs);
    });
    try {
      await orAborted(Promise.race([this.#prefetchEnd, timeout]), signal);
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    const message = `cannot read layer ${this.descriptor.digest}: it is closed`;
    this.#closing.abort(new LazyLayerError("closed", message));
  }

  async #runPrefetch(endOffset: number): Promise<void> {
    try {
      await fetchMissing(this.blob, endOffset, { signal: this.#closing.signal });
      this.prefetchedBytes = endOffset;
    } catch (error) {
      this.#prefetch = undefined;
      throw error;
    } finally {
      this.#prefetchEnded();
    }
  }
}
