import type { CallOptions } from "@lamella/refs";

import { LazyLayerError } from "../errors.js";
import { RangeFetch } from "./range-fetch.js";
import type { RequestLimit } from "./request-limit.js";

export interface WholeStreamOptions {
  readonly size: number;
  readonly pieceBytes: number;
  /** The whole blob, verified at its end. */
  open(signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Gives it its turn. */
  run(work: () => Promise<void>, signal: AbortSignal): Promise<void>;
  limit(signal: AbortSignal): RequestLimit;
  /** A piece is on its way now. */
  begin(piece: RangeFetch): void;
  /** Bytes have come. */
  progress(): void;
  /** It is whole, or as much of it as will come. False if it was not kept. */
  end(piece: RangeFetch): Promise<boolean>;
  /** All that came was wrong. */
  wrong(): Promise<void>;
}

interface Waiter {
  readonly position: number;
  resolve(piece: RangeFetch): void;
  reject(error: unknown): void;
}

/**
 * A blob of a registry that answers no ranges: it is taken from its beginning to its end, once, in pieces that pass by whoever waits for them and into the cache.
 * Where they are not kept it goes on for as long as somebody waits, and begins anew for who comes too late.
 */
export class WholeStream {
  readonly #options: WholeStreamOptions;
  #waiters: Waiter[] = [];
  #passed = 0;
  #running: AbortController | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: WholeStreamOptions) {
    this.#options = options;
  }

  /** The piece that holds a byte, when it is on its way. @throws what the stream fails with; the signal's reason */
  piece(position: number, { signal }: CallOptions): Promise<RangeFetch> {
    return new Promise((resolve, reject) => {
      const done = (): void => signal?.removeEventListener("abort", abort);
      const waiter: Waiter = {
        position,
        resolve(piece) {
          done();
          resolve(piece);
        },
        reject(error) {
          done();
          reject(error);
        },
      };
      const abort = (): void => {
        this.#waiters = this.#waiters.filter((one) => one !== waiter);
        reject(signal?.reason);
      };
      if (signal?.aborted === true) return reject(signal.reason);
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiters.push(waiter);
      if (this.#running === undefined) this.#ended = this.#start();
    });
  }

  /** When what is under way has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  abort(reason: unknown): void {
    this.#running?.abort(reason);
  }

  async #start(): Promise<void> {
    const controller = new AbortController();
    this.#running = controller;
    try {
      while (this.#waiters.length > 0) {
        this.#passed = 0;
        await this.#options.run(() => this.#pass(controller.signal), controller.signal);
      }
    } catch (error) {
      const waiters = this.#waiters;
      this.#waiters = [];
      for (const { reject } of waiters) reject(error);
    } finally {
      this.#running = undefined;
    }
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { open, limit: startLimit, progress, end, size, wrong } = this.#options;
    const limit = startLimit(signal);
    let piece: RangeFetch | undefined;
    try {
      for await (const chunk of open(limit.signal)) {
        limit.progress(chunk.length);
        progress();
        if (chunk.length > size - this.#passed - (piece?.bytes.length ?? 0)) throw this.#wrongSize();
        for (let rest = chunk; rest.length > 0;) {
          piece ??= this.#beginPiece();
          rest = piece.push(rest);
          if (!piece.isWhole) continue;
          this.#passed += piece.length;
          const isKept = await end(piece);
          piece = undefined;
          // Nobody would have more of it.
          if (!isKept && this.#waiters.length === 0) return;
        }
      }
      limit.signal.throwIfAborted();
      if (this.#passed < size) throw this.#wrongSize();
    } catch (thrown) {
      const error = limit.signal.aborted ? (limit.signal.reason as unknown) : thrown;
      if (isWrong(error)) {
        if (piece !== undefined) piece.isDropped = true;
        await wrong();
      }
      piece?.fail(error);
      if (piece !== undefined) await end(piece);
      throw error;
    } finally {
      limit.end();
    }
  }

  #wrongSize(): LazyLayerError {
    const { size } = this.#options;
    return new LazyLayerError(
      "unavailable",
      `cannot read the blob: the source gave more or less than its ${size} bytes`,
    );
  }

  #beginPiece(): RangeFetch {
    const { size, pieceBytes, begin } = this.#options;
    const length = Math.min(pieceBytes, size - this.#passed);
    const piece = new RangeFetch({ offset: this.#passed, length }, true);
    begin(piece);
    const isIts = ({ position }: Waiter): boolean => position >= piece.offset && position < piece.offset + piece.length;
    const waiters = this.#waiters.filter(isIts);
    this.#waiters = this.#waiters.filter((waiter) => !isIts(waiter));
    for (const { resolve } of waiters) resolve(piece);
    return piece;
  }
}

/** The source has read it to its end, and it was another blob. */
function isWrong(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && (error.code === "digest_mismatch" || error.code === "size_mismatch")
  );
}
