import type { CallOptions, Descriptor } from "@lamella/refs";

/** `demand`: somebody waits for the bytes. `background`: they will be wanted; it goes on beside demand, slower, never starved. */
export type ReadPriority = "demand" | "background";

export interface BlobReadOptions extends CallOptions {
  /** `demand` by default. */
  priority?: ReadPriority | undefined;
}

/**
 * A blob at random. What was fetched is kept in a cache and is not fetched again; neighbours come in one request, and a reader that goes
 * forwards is read ahead for. In memory are at most a few MiB, however much is asked for.
 *
 * The bytes are NOT verified: a digest is of the whole blob. A caller checks what it unpacks of them by what it knows.
 */
export interface BlobReader {
  readonly descriptor: Descriptor;
  /** Bytes of the blob: the descriptor's. */
  readonly size: number;
  /**
   * Exactly the bytes of a range, in order, in chunks of any size that stay valid.
   * @throws {LazyLayerError} `timeout`, `unavailable` (the cause says how); the signal's reason
   * @throws {RangeError} for a range that is not within the blob
   */
  read(offset: number, length: number, options?: BlobReadOptions): AsyncIterable<Uint8Array>;
  /** Drops what is kept of a range, because it turned out to be wrong: the next read fetches it. */
  drop(offset: number, length: number): Promise<void>;
}
