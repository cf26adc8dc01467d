import type { CallOptions } from "@lamella/refs";

/** A disk to serve. A `DiskPlan` of `@lamella/disk-export` is one as it stands. */
export interface BlockSource {
  readonly sizeBytes: number;
  /**
   * Exactly `length` bytes from `offset`. A chunk is valid only until the next is asked for. Reads run at the same time. One that throws
   * is an input/output error for the client that asked, and so is one that gives another number of bytes.
   */
  read(offset: number, length: number, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** Where the disk is not zeros, ascending and disjoint; what lies between is neither read nor sent. Without it nothing is a hole. */
  readonly segments?: readonly { readonly offset: number; readonly length: number }[];
}
