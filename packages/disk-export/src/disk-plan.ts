import type { Entry } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

export type DiskFormat = "ext4" | "erofs" | "cpio";

/** Something the tree has and the format cannot hold. */
export interface Loss {
  /** What is lost, as a noun phrase: "xattrs", "nanoseconds of mtime". */
  readonly what: string;
  /** How many entries lose it. */
  readonly count: number;
  /** The first of them, at most ten. */
  readonly paths: readonly string[];
}

/**
 * A run of a disk that is not zeros. Either `bytes()` gives it (metadata, made when asked for, `length` bytes long), or it is
 * file data: `length` bytes of `entry` from `entryOffset`.
 */
export type Segment =
  | { readonly offset: number; readonly length: number; readonly bytes: () => Uint8Array }
  | { readonly offset: number; readonly length: number; readonly entry: Entry; readonly entryOffset: number };

/**
 * Where every byte of a disk comes from, before one of them is written. The same tree and options give the same bytes.
 * A plan borrows its tree: close the tree after the last read.
 */
export interface DiskPlan {
  readonly format: DiskFormat;
  readonly sizeBytes: number;
  readonly losses: readonly Loss[];
  /** Ascending and disjoint; what lies between them is zeros (a hole in a file). */
  readonly segments: readonly Segment[];
  /** Exactly these bytes of the disk, holes as zeros. Chunks are valid only until the next is asked for. */
  read(offset: number, length: number, options?: CallOptions): AsyncIterable<Uint8Array>;
}
