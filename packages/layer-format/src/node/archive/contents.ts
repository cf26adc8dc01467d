import type { FileHandle } from "node:fs/promises";

import type { CallOptions } from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";

/** Read ahead of a reader that goes forward: few system calls for many small files. */
const SEQUENTIAL_BYTES = 1024 * 1024;
/** Read around a reader that jumps. */
const RANDOM_BYTES = 256 * 1024;

/** A part of the file in memory. Its buffer is used again once no reader looks at it. */
interface Window {
  readonly start: number;
  readonly end: number;
  readonly buffer: Buffer;
  loaded: Promise<void> | undefined;
  isLoaded: boolean;
  readers: number;
}

/**
 * Reads a file at random through one window that moves, and of a reader that goes forward the next window already. Any number of reads
 * may be under way at the same time.
 */
export class ContentsReader {
  readonly #handle: FileHandle;
  readonly #size: number;
  #window: Window | undefined;
  /** What follows the window, if the reader seems to get there. */
  #ahead: Window | undefined;
  #spare: Buffer | undefined;
  #closed: Promise<void> | undefined;

  constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.#size = size;
  }

  /** A chunk is valid only until the next is asked for. */
  async *read(offset: number, length: number, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array> {
    const end = offset + length;
    if (offset < 0 || length < 0 || end > this.#size) {
      throw new LayerFormatError(
        "archive_invalid",
        `cannot read ${length} bytes at ${offset}: the contents have ${this.#size}`,
      );
    }
    let position = offset;
    while (position < end) {
      signal?.throwIfAborted();
      const window = this.#windowAt(position, end - position);
      window.readers++;
      try {
        if (!window.isLoaded) await window.loaded;
        signal?.throwIfAborted();
        const stop = Math.min(end, window.end);
        yield window.buffer.subarray(position - window.start, stop - window.start);
        position = stop;
      } finally {
        window.readers--;
        if (window !== this.#window || position === this.#size) this.#release(window);
      }
    }
  }

  /** Bytes that are in the window; undefined where not all are. Valid only until anything else is asked for. */
  readNow(offset: number, length: number): Uint8Array | undefined {
    const window = this.#window;
    if (window === undefined || !window.isLoaded || offset < window.start || offset + length > window.end)
      return undefined;
    if (offset + length === this.#size) this.#release(window);
    return window.buffer.subarray(offset - window.start, offset - window.start + length);
  }

  /** Closing again waits for the first closing. */
  close(): Promise<void> {
    this.#closed ??= this.#handle.close();
    this.#window = undefined;
    this.#ahead = undefined;
    this.#spare = undefined;
    return this.#closed;
  }

  #windowAt(position: number, wanted: number): Window {
    if (this.#closed !== undefined) throw new Error("cannot read the layer: it is closed");
    const last = this.#window;
    if (last !== undefined && position >= last.start && position < last.end) return last;
    const isForward = last !== undefined && position >= last.end && position < last.end + SEQUENTIAL_BYTES;
    const length = isForward || wanted > RANDOM_BYTES ? SEQUENTIAL_BYTES : RANDOM_BYTES;
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (last !== undefined) this.#release(last);
    const isAhead = ahead !== undefined && position >= ahead.start && position < ahead.end;
    const window = isAhead ? ahead : this.#load(position, length);
    this.#window = window;
    if (isForward && window.end < this.#size) this.#ahead = this.#load(window.end, SEQUENTIAL_BYTES);
    return window;
  }

  #load(start: number, most: number): Window {
    const length = Math.min(most, this.#size - start);
    const buffer =
      this.#spare !== undefined && this.#spare.length >= length ? this.#spare : Buffer.allocUnsafeSlow(length);
    this.#spare = undefined;
    const window: Window = { start, end: start + length, buffer, loaded: undefined, isLoaded: false, readers: 0 };
    window.loaded = this.#fill(window);
    // Whoever reads the window is told; that may be nobody.
    window.loaded.catch(() => undefined);
    return window;
  }

  async #fill(window: Window): Promise<void> {
    const { buffer, start, end } = window;
    try {
      for (let position = start; position < end;) {
        const { bytesRead } = await this.#handle.read(buffer, position - start, end - position, position);
        if (bytesRead === 0) {
          throw new LayerFormatError("archive_invalid", `cannot read the contents: they end at ${position}`);
        }
        position += bytesRead;
      }
      window.isLoaded = true;
    } finally {
      // The next reader tries again.
      if (!window.isLoaded && this.#window === window) this.#window = undefined;
      if (!window.isLoaded && this.#ahead === window) this.#ahead = undefined;
    }
  }

  /** Takes the buffer back from a window that nobody reads. At the end of the file nothing is kept: few readers go back. */
  #release(window: Window): void {
    if (this.#window === window) this.#window = undefined;
    if (window.readers > 0 || !window.isLoaded) return;
    this.#spare = window.end === this.#size ? undefined : window.buffer;
  }
}
