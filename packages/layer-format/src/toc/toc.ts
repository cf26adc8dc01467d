import type { CallOptions, Digest } from "@lamella/refs";

import type { LayerEntry } from "../layer.js";

/** How a layer is packed so that its files can be read one by one. */
export type TocFormat = "estargz" | "zstd:chunked";

/** A piece of a file's data that can be fetched, unpacked and verified by itself. */
export interface TocChunk {
  /** Where its bytes stand in the layer's contents; chunks follow each other there. */
  readonly contentOffset: number;
  /** Bytes of data. */
  readonly size: number;
  /** Where the gzip member or zstd frame begins in the blob that leads to the data. */
  readonly blobOffset: number;
  /** Where that ends at the latest. */
  readonly blobEnd: number;
  /** Bytes that the member gives before the data: of chunks that share it. */
  readonly innerOffset: number;
  readonly digest: Digest;
  /** The data is zeros: it may be of any size, and nobody asks for it. */
  readonly isZeros: boolean;
  /** The digest of the whole file, on the last of its chunks where it has several. */
  readonly fileDigest?: Digest;
}

/**
 * The table of contents of a layer, validated: no path leads out, no name comes twice, every hard link follows its target,
 * and each file's chunks cover it without a gap, ascending and apart in the blob.
 *
 * What belongs to the format, the landmarks and the table itself, is not among the entries.
 */
export interface LayerToc {
  readonly format: TocFormat;
  /** The digest of its JSON, as `containerd.io/snapshot/stargz/toc.digest` has it. */
  readonly digest: Digest;
  /** Whether an annotation of the layer's descriptor vouches for it. If not, nothing does before the layer is read whole. */
  readonly isVouchedFor: boolean;
  /** In the table's order; files' data stand back to back in the contents in that order. */
  readonly entries: readonly LayerEntry[];
  /** In the order of the contents. */
  readonly chunks: readonly TocChunk[];
  readonly contentsBytes: number;
  /**
   * How many bytes at the blob's beginning are wanted first, as its maker saw it (eStargz, "Prioritized Files and Landmark Files"):
   * 0 if none are, undefined if the layer does not tell.
   */
  readonly prefetchBytes: number | undefined;
}

/** Gives chunks of one layer: the place for a cache under a layer that is read lazily. */
export interface ChunkSource {
  /**
   * Chunks `first` to `first + count - 1` of the table, one array each, in order. Each has been checked against its digest; they
   * stay valid.
   * @throws {RefsError} `digest_mismatch` for a chunk that is not the table's, `size_mismatch` where the blob ends early.
   */
  readChunks(first: number, count: number, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** A chunk that is in memory, checked; undefined for one that is not. */
  heldChunk?(index: number): Uint8Array | undefined;
}
