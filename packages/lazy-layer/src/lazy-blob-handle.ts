import { setMaxListeners } from "node:events";

import type { CallOptions, Descriptor, Digest, Pusher } from "@lamella/refs";

import type { BlobSource } from "./blob/open-blob.js";
import type { BlobReader, BlobReadOptions } from "./blob-reader.js";
import { LazyLayerError } from "./errors.js";
import type { LazyBlobInfo, ResolvedBlob } from "./lazy-blob.js";
import type { OpenLayer } from "./open-layer.js";

/** One holder's hand on a blob that others may hold too. */
export class LazyBlobHandle implements ResolvedBlob {
  readonly reader: BlobReader;
  readonly #open: OpenLayer;
  readonly #release: () => Promise<void>;
  readonly #closing = new AbortController();

  constructor(open: OpenLayer, release: () => Promise<void>) {
    this.#open = open;
    this.#release = release;
    // each read that waits has one
    setMaxListeners(0, this.#closing.signal);
    const { blob } = open;
    this.reader = {
      descriptor: blob.descriptor,
      size: blob.size,
      read: (offset, length, options = {}) => this.#read(offset, length, options),
      drop: (offset, length) => blob.drop(offset, length),
    };
  }

  get descriptor(): Descriptor {
    return this.#open.descriptor;
  }

  get diffID(): Digest {
    return this.#open.diffID;
  }

  info(): LazyBlobInfo {
    return this.#open.info();
  }

  async check(options: CallOptions = {}): Promise<void> {
    await this.#open.check(this.held(options));
  }

  async refresh(source: BlobSource, options: CallOptions = {}): Promise<void> {
    await this.#open.refresh(source, this.held(options));
  }

  readAt(offset: number, length: number, options: CallOptions = {}): AsyncIterable<Uint8Array> {
    return this.#read(offset, length, options);
  }

  async backgroundFetch(options: CallOptions = {}): Promise<void> {
    await this.#open.backgroundFetch(this.held(options));
  }

  async complete(sink: Pusher, options: CallOptions = {}): Promise<void> {
    await this.#open.complete(sink, this.held(options));
  }

  async done(): Promise<void> {
    const message = `cannot read layer ${this.descriptor.digest}: it was let go of`;
    this.#closing.abort(new LazyLayerError("closed", message));
    await this.#release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.done();
  }

  /** Letting go of it ends what is under way. */
  protected held({ signal }: CallOptions): { signal: AbortSignal } {
    signal?.throwIfAborted();
    this.#closing.signal.throwIfAborted();
    return { signal: signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]) };
  }

  async *#read(offset: number, length: number, options: BlobReadOptions): AsyncGenerator<Uint8Array> {
    yield* this.#open.blob.read(offset, length, { ...options, ...this.held(options) });
  }
}
