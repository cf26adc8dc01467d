import type { Entry, Loss } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import type { Verity } from "./verity/verity.js";

export type DiskFormat = "ext4" | "erofs" | "cpio" | "tar";

/** Bytes that are kept somewhere else than in the tree. */
export interface ByteSource {
  /** Exactly `length` bytes. A chunk is valid only until the next is asked for. */
  read(offset: number, length: number, options?: CallOptions): AsyncIterable<Uint8Array>;
}

/**
 * A run of a disk that is not zeros. `bytes()` gives it (metadata, made when asked for, `length` bytes long), or it is
 * file data: `length` bytes of `entry` from `entryOffset`; or it is `length` bytes of `source` from `sourceOffset`.
 */
export type Segment =
  | { readonly offset: number; readonly length: number; readonly bytes: () => Uint8Array }
  | { readonly offset: number; readonly length: number; readonly entry: Entry; readonly entryOffset: number }
  | { readonly offset: number; readonly length: number; readonly source: ByteSource; readonly sourceOffset: number };

/**
 * Where every byte of a disk comes from, before one of them is written. The same tree and options give the same bytes.
 * A plan borrows its tree: close the tree after the last read.
 *
 * Dispose of a plan after its last read: one that had to keep data (compressed, say) frees it then; for others it does nothing.
 * That does not close the tree.
 */
export interface DiskPlan extends AsyncDisposable {
  readonly format: DiskFormat;
  readonly sizeBytes: number;
  readonly losses: readonly Loss[];
  /** The first Linux that reads the disk ("5.13"); undefined where none mounts it. */
  readonly kernel: string | undefined;
  /** Where the hash tree of dm-verity is, and what guards it; only of a disk that has one. */
  readonly verity?: Verity;
  /** Where the file system lies on a disk with a partition table. */
  readonly partition?: { readonly offset: number; readonly sizeBytes: number };
  /** Ascending and disjoint; what lies between them is zeros (a hole in a file). */
  readonly segments: readonly Segment[];
  /** Exactly these bytes of the disk, holes as zeros. Chunks are valid only until the next is asked for. */
  read(offset: number, length: number, options?: CallOptions): AsyncIterable<Uint8Array>;
}
