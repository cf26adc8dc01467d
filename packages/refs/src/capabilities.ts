import type { Descriptor } from "./descriptor.js";

/** Every asynchronous call takes these. A call checks the signal before it works and rejects with `signal.reason`. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/**
 * Content by descriptor. The bytes are untrusted until the iteration has ended without an error: an implementation checks
 * digest and size as they pass (see `verifyContent`) and throws `digest_mismatch` or `size_mismatch` at the latest at the end.
 */
export interface Fetcher {
  fetch(descriptor: Descriptor, options?: CallOptions): AsyncIterable<Uint8Array>;
}

/** A name to the descriptor of a manifest or an index. The name is what the source calls one: a tag, a digest. */
export interface Resolver {
  resolve(name: string, options?: CallOptions): Promise<Descriptor>;
}

/** What an image can be read from: a repository of a registry, an OCI layout. */
export interface ImageSource extends Resolver, Fetcher {}

/** Takes content by descriptor. Pushing what is there already is a success without a transfer. */
export interface Pusher {
  push(descriptor: Descriptor, content: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void>;
}

/** A part of a blob, in bytes. */
export interface BlobRange {
  readonly offset: number;
  readonly length: number;
}

/** Bytes of a blob, and where in it they lie. */
export interface BlobPiece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Content by descriptor and range: a source of random access, as for layers that are read lazily. */
export interface RangeFetcher {
  /**
   * Exactly the bytes of a range, which lies within the descriptor's size. They are NOT verified: a digest is of the whole. A caller
   * checks them by what it knows, the digests of chunks or that of the blob put together.
   */
  fetchRange(descriptor: Descriptor, range: BlobRange, options?: CallOptions): AsyncIterable<Uint8Array>;
  /**
   * Several ranges that do not overlap with one request, for who would rather have most of them at once than each for certain: the bytes of a range come in
   * order, the ranges in any, and some may not come. NOT verified either. A source that cannot do it leaves it out.
   */
  fetchRanges?(descriptor: Descriptor, ranges: readonly BlobRange[], options?: CallOptions): AsyncIterable<BlobPiece>;
}
