import { damagedGzip } from "./gzip-damage.js";

const BUFFER_BYTES = 256 * 1024;
/** What may be read beyond the end: a word. */
const MARGIN_BYTES = 8;

/** Bytes that come in chunks, read bit by bit. A reader is a generator that pauses when it wants more of them. */
export class BitFeed {
  readonly view: DataView;
  /** The place in the buffer, in bits. */
  at = 0;
  /** Bytes in the buffer. */
  end = 0;
  isEnded = false;
  readonly #bytes: Uint8Array = new Uint8Array(BUFFER_BYTES + MARGIN_BYTES);
  /** Bytes that came before those in the buffer. */
  #start = 0;

  constructor() {
    this.view = new DataView(this.#bytes.buffer);
  }

  /** Where in all that came the place is: its byte. */
  get offset(): number {
    return this.#start + (this.at >>> 3);
  }

  /** Bytes from the place on, that of the place included. */
  get available(): number {
    return this.end - (this.at >>> 3);
  }

  /** Takes the beginning of a chunk, as much as there is room for, and gives how much. */
  add(chunk: Uint8Array): number {
    const kept = this.at >>> 3;
    this.#bytes.copyWithin(0, kept, this.end);
    this.end -= kept;
    this.#start += kept;
    this.at &= 7;
    const part = chunk.subarray(0, BUFFER_BYTES - this.end);
    this.#bytes.set(part, this.end);
    this.end += part.length;
    return part.length;
  }

  /** A copy of the bytes in which the bits from one place to another lie. */
  copy(from: number, to: number): Uint8Array {
    return this.#bytes.slice(from >>> 3, (to + 7) >>> 3);
  }

  /** The next 25 bits at least; what is not there is anything. */
  peek(): number {
    return this.view.getInt32(this.at >>> 3, true) >>> (this.at & 7);
  }

  bits(count: number): number {
    const value = this.peek() & ((1 << count) - 1);
    this.at += count;
    return value;
  }

  align(): void {
    this.at = (this.at + 7) & ~7;
  }

  /** Waits for bytes; in the end there may be fewer. */
  *wait(count: number): Generator<void> {
    for (;;) {
      if (this.available >= count || this.isEnded) return;
      yield;
    }
  }

  *pass(count: number): Generator<void> {
    for (let left = count; ;) {
      const step = Math.min(left, this.available);
      this.at += 8 * step;
      left -= step;
      if (left === 0) return;
      if (this.isEnded) throw damagedGzip("the data is truncated");
      yield;
    }
  }

  *number16(): Generator<void, number> {
    yield* this.wait(2);
    const place = this.at >>> 3;
    yield* this.pass(2);
    return this.view.getUint16(place, true);
  }

  /** Passes a text with its zero. */
  *text(): Generator<void> {
    for (;;) {
      yield* this.wait(1);
      const place = this.at >>> 3;
      yield* this.pass(1);
      if (this.view.getUint8(place) === 0) return;
    }
  }
}
