import type { CallOptions } from "@lamella/refs";

import type { Extent } from "./file-tree.js";

/** A file's bytes as a rule: `size` bytes, all `fill` or what `fill` gives for the offset of each (its low eight bits). */
export interface GeneratedContent {
  size: number;
  fill?: number | ((offset: number) => number);
}

interface Piece {
  /** Where it begins in the contents, and in its file. */
  readonly start: number;
  readonly fileOffset: number;
  readonly length: number;
  readonly content: Uint8Array | GeneratedContent;
}

const CHUNK_BYTES = 256 * 1024;

/** The contents of a layer in memory, of which only the description is kept. */
export class MemoryContents {
  readonly #pieces: Piece[] = [];
  #size = 0;
  #closed = false;

  /** Appends a file, without its holes. */
  store(
    given: string | Uint8Array | GeneratedContent,
    extents?: readonly Extent[],
  ): { size: number; contentOffset: number } {
    const content = typeof given === "string" ? new TextEncoder().encode(given) : given;
    const size = content instanceof Uint8Array ? content.length : content.size;
    const contentOffset = this.#size;
    for (const { offset, length } of extents ?? [{ offset: 0, length: size }]) {
      if (offset + length > size)
        throw new RangeError(`cannot store an extent that ends at ${offset + length}: the content has ${size} bytes`);
      if (length > 0) this.#pieces.push({ start: this.#size, fileOffset: offset, length, content });
      this.#size += length;
    }
    return { size, contentOffset };
  }

  async *read(offset: number, length: number, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array> {
    let position = offset;
    for (let index = this.#find(offset); position < offset + length; index++) {
      const piece = this.#pieces[index];
      if (piece === undefined)
        throw new RangeError(`cannot read to ${offset + length}: the contents have ${this.#size} bytes`);
      const pieceEnd = Math.min(piece.start + piece.length, offset + length);
      while (position < pieceEnd) {
        signal?.throwIfAborted();
        if (this.#closed) throw new Error("cannot read the layer: it is closed");
        const count = Math.min(CHUNK_BYTES, pieceEnd - position);
        yield bytesOf(piece, position - piece.start, count);
        position += count;
      }
    }
  }

  close(): void {
    this.#closed = true;
  }

  #find(offset: number): number {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const piece = this.#pieces[middle];
      if (piece !== undefined && piece.start + piece.length <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function bytesOf({ content, fileOffset }: Piece, offset: number, count: number): Uint8Array {
  const start = fileOffset + offset;
  if (content instanceof Uint8Array) return content.subarray(start, start + count);
  const { fill = 0 } = content;
  if (typeof fill === "number") return new Uint8Array(count).fill(fill);
  return Uint8Array.from({ length: count }, (_, index) => fill(start + index));
}
