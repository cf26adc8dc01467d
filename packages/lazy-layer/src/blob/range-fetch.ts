import type { BlobRange, CallOptions } from "@lamella/refs";

/**
 * Bytes that are on their way, for everybody who wants some of them: each gets what is there, as soon as it is there. Whoever has it in hand can read it after
 * it has failed, too, as far as it came.
 */
export class RangeFetch implements BlobRange {
  readonly offset: number;
  readonly length: number;
  /** Aborts when all who waited have gone away, and nobody wants it for later. */
  readonly signal: AbortSignal;
  /** Set by whoever runs it: somebody waits now. */
  promote: () => void = () => {};
  /** What came was wrong: it is not to be kept. */
  isDropped = false;
  /** Set while it is written to the cache, and after that. */
  keeping: Promise<boolean> | undefined;
  readonly #controller = new AbortController();
  readonly #isForLater: boolean;
  #bytes: Uint8Array | undefined;
  #filled = 0;
  #waiters = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void)[] = [];

  /** @param isForLater It goes on when nobody waits. */
  constructor({ offset, length }: BlobRange, isForLater: boolean) {
    this.offset = offset;
    this.length = length;
    this.#isForLater = isForLater;
    this.signal = this.#controller.signal;
  }

  /** Behind the last byte that is there. */
  get reached(): number {
    return this.offset + this.#filled;
  }

  get isWhole(): boolean {
    return this.#filled === this.length;
  }

  get waiters(): number {
    return this.#waiters;
  }

  /** What is there. */
  get bytes(): Uint8Array {
    return (this.#bytes ?? new Uint8Array()).subarray(0, this.#filled);
  }

  /** Takes as much of a chunk as belongs to it; gives the rest. */
  push(chunk: Uint8Array): Uint8Array {
    this.#bytes ??= new Uint8Array(this.length);
    const part = chunk.subarray(0, this.length - this.#filled);
    this.#bytes.set(part, this.#filled);
    this.#filled += part.length;
    this.#notify();
    return chunk.subarray(part.length);
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#notify();
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /**
   * Waits until bytes from `position` on are there, and gives them, up to `end`. They stay valid.
   * @throws what the fetch failed with, if they will not come; the signal's reason
   */
  async take(position: number, end: number, { signal }: CallOptions): Promise<Uint8Array> {
    this.#waiters++;
    try {
      while (this.reached <= position) {
        signal?.throwIfAborted();
        if (this.#failure !== undefined) throw this.#failure.error;
        await this.#changed(signal);
      }
      return this.bytes.subarray(position - this.offset, end - this.offset);
    } finally {
      this.#waiters--;
      if (signal?.aborted === true && this.#waiters === 0 && !this.#isForLater) this.abort(signal.reason);
    }
  }

  #changed(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      signal?.addEventListener("abort", wake, { once: true });
      this.#wake.push(wake);
    });
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const one of wake) one();
  }
}
