import type { CallOptions, Descriptor, Digest, Pusher } from "@lamella/refs";

import type { BlobReader } from "./blob-reader.js";
import type { BlobSource } from "./blob/open-blob.js";

/** How much of a layer is here, for people and for monitors. */
export interface LazyBlobInfo {
  readonly digest: Digest;
  /** Bytes of the blob, as the registry has it. */
  readonly size: number;
  /** How many of them are in the cache. */
  readonly fetchedSize: number;
  /** How many a prefetch has brought, or found. */
  readonly prefetchSize: number;
  /** When somebody read of it last. */
  readonly readTime: Date | undefined;
  /** What the last request failed with; undefined once one has succeeded since. */
  readonly error: unknown;
}

/** A layer that lies in a registry and comes piece by piece. Others may share it. */
export interface LazyBlob extends AsyncDisposable {
  readonly descriptor: Descriptor;
  readonly diffID: Digest;
  info(): LazyBlobInfo;
  /**
   * Whether the registry still gives it: one byte is asked for, unless that was done within the last minute.
   * @throws {LazyLayerError} `timeout`, `unavailable`
   */
  check(options?: CallOptions): Promise<void>;
  /**
   * Reads from another source from now on, as after a login; checks it first.
   * @throws {LazyLayerError} as `check`; the earlier source stays then
   */
  refresh(source: BlobSource, options?: CallOptions): Promise<void>;
  /** Bytes of the blob as it lies in the registry, NOT verified. @throws {LazyLayerError} `timeout`, `unavailable` */
  readAt(offset: number, length: number, options?: CallOptions): AsyncIterable<Uint8Array>;
  /**
   * Brings what is missing, beside those who read. Broken off, it goes on another time where it was.
   * @throws {LazyLayerError} `timeout`, `unavailable`; `cache_full` if the cache does not keep it
   */
  backgroundFetch(options?: CallOptions): Promise<void>;
  /**
   * Makes it an ordinary layer: reads all of it, verifies its digest, its diffID and that its table of contents says what its tar says, and only then pushes it.
   * What is missing is fetched.
   * @throws {RefsError} `digest_mismatch`, `size_mismatch`, fetched twice
   * @throws {LayerFormatError} `toc_mismatch`, and what its readers refuse
   */
  complete(sink: Pusher, options?: CallOptions): Promise<void>;
  /** Lets go of it: what was given for it can be read no more. May be called twice; so may disposing. */
  done(): Promise<void>;
}

/** The same, for those who look into it in a way of their own. */
export interface ResolvedBlob extends LazyBlob {
  /** Of the blob, for as long as this is held. */
  readonly reader: BlobReader;
}
