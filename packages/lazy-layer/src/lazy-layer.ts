import { type FileTree, type Layer, layerFromToc, mergeLayers, type TocFormat } from "@lamella/layer-format";
import { type CallOptions, type Digest, quote, RefsError } from "@lamella/refs";

import { LazyLayerError } from "./errors.js";
import type { LazyBlob, LazyBlobInfo } from "./lazy-blob.js";
import { LazyBlobHandle } from "./lazy-blob-handle.js";
import type { OpenTocLayer } from "./open-layer.js";

export interface LazyLayerInfo extends LazyBlobInfo {
  /** Of the table's JSON. */
  readonly tocDigest: Digest;
  readonly format: TocFormat;
  /** Whether an annotation of the layer's descriptor vouches for the table. */
  readonly isVouchedFor: boolean;
}

export interface WaitOptions extends CallOptions {
  /** 10 s by default. */
  timeoutMs?: number | undefined;
}

/**
 * A layer with a table of contents, read as it lies in a registry. It is opened by a resolver, verified, read, and let go of with `done`.
 *
 * Every chunk is checked against the table before a byte of it is given out. What the table itself is worth is decided once: `verify` takes the digest
 * that something trusted gives, `skipVerify` takes the table as it is until `complete` has seen all of the layer. Before either there are no files.
 */
export interface LazyLayer extends LazyBlob {
  info(): LazyLayerInfo;
  /** @throws {RefsError} `digest_mismatch` if the table is another one */
  verify(tocDigest: Digest): void;
  skipVerify(): void;
  /**
   * The layer for `mergeLayers`, and for what takes layers. Closing it does not let go of the lazy layer; letting go of that ends it.
   * @throws {LazyLayerError} `not_verified`; its reads: `chunk_mismatch`, `timeout`, `unavailable`, `closed`
   */
  layer(): Layer;
  /** The tree that this layer makes alone. @throws {LazyLayerError} as `layer`; {LayerFormatError} what `mergeLayers` throws */
  tree(options?: CallOptions): Promise<FileTree>;
  /**
   * Brings what is wanted first into the cache: what the layer's maker has put before the landmark, nothing if the maker said so, else the first `sizeBytes`.
   * Done once, whoever asks; it may be tried again when it has failed.
   * @throws {LazyLayerError} `timeout`, `unavailable`, `cache_full`
   */
  prefetch(sizeBytes: number, options?: CallOptions): Promise<void>;
  /** Until a prefetch has ended, well or not. @throws {LazyLayerError} `timeout`; the prefetch goes on then */
  waitForPrefetchCompletion(options?: WaitOptions): Promise<void>;
}

const DEFAULT_WAIT_MS = 10_000;

/** One holder's hand on a layer that others may hold too. */
export class LazyLayerHandle extends LazyBlobHandle implements LazyLayer {
  readonly #open: OpenTocLayer;
  #isVerified = false;

  constructor(open: OpenTocLayer, release: () => Promise<void>) {
    super(open, release);
    this.#open = open;
  }

  override info(): LazyLayerInfo {
    const { digest: tocDigest, format, isVouchedFor } = this.#open.toc;
    return { ...super.info(), tocDigest, format, isVouchedFor };
  }

  verify(tocDigest: Digest): void {
    const { digest } = this.#open.toc;
    if (digest !== tocDigest) {
      const state = `the digest of its table of contents is ${digest}, not ${quote(tocDigest)}`;
      throw new RefsError("digest_mismatch", `cannot verify layer ${this.descriptor.digest}: ${state}`);
    }
    this.#isVerified = true;
  }

  skipVerify(): void {
    this.#isVerified = true;
  }

  layer(): Layer {
    const { signal } = this.held({});
    if (!this.#isVerified) {
      const state = "neither verify nor skipVerify was called";
      throw new LazyLayerError("not_verified", `cannot open layer ${this.descriptor.digest}: ${state}`);
    }
    const { toc, chunks, diffID } = this.#open;
    return layerFromToc(chunks, toc, { diffID, signal });
  }

  async tree(options: CallOptions = {}): Promise<FileTree> {
    options.signal?.throwIfAborted();
    return mergeLayers([this.layer()], options);
  }

  async prefetch(sizeBytes: number, options: CallOptions = {}): Promise<void> {
    await this.#open.prefetch(sizeBytes, this.held(options));
  }

  async waitForPrefetchCompletion({ timeoutMs = DEFAULT_WAIT_MS, ...options }: WaitOptions = {}): Promise<void> {
    await this.#open.waitForPrefetch(timeoutMs, this.held(options));
  }
}
