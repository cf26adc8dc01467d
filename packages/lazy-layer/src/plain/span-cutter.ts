import { createHash, type Hash } from "node:crypto";
import { deflateRawSync } from "node:zlib";

import { type SpanDraft, type SpanKind, WINDOW_BYTES } from "./plain-index.js";

/** Where a span can begin. */
export interface SpanStart {
  readonly kind: SpanKind;
  readonly blobOffset: number;
  readonly bit: number;
  readonly prefix: Uint8Array;
  /** Bytes of output before it that have to be kept with it, if there are so many. */
  readonly history: number;
}

/** Tells where spans begin, known at the latest when the first byte of theirs comes. */
export interface SpanStarts {
  /** The first start from a byte of the tar on; `Infinity` where none is known. */
  after(offset: number): number;
  /** The start at a byte that `after` gave; asked for once. */
  take(offset: number): SpanStart;
}

/** Cuts the tar into spans as it comes. */
export interface SpanCutter {
  push(bytes: Uint8Array): void;
  end(): readonly SpanDraft[];
}

export function createSpanCutter(starts: SpanStarts): SpanCutter {
  const drafts: SpanDraft[] = [];
  const tail = createTail();
  let open: { readonly draft: Omit<SpanDraft, "length" | "sha256">; readonly hash: Hash; length: number } | undefined;
  let position = 0;

  function close(): void {
    if (open !== undefined) drafts.push({ ...open.draft, length: open.length, sha256: open.hash.digest() });
    open = undefined;
  }

  function begin({ kind, blobOffset, bit, prefix, history }: SpanStart): void {
    close();
    const window = history === 0 ? new Uint8Array() : deflateRawSync(tail.last(history));
    open = { draft: { kind, blobOffset, bit, prefix, window }, hash: createHash("sha256"), length: 0 };
  }

  return {
    push(bytes) {
      for (let taken = 0; taken < bytes.length;) {
        if (starts.after(position) === position) begin(starts.take(position));
        const part = bytes.subarray(taken, taken + Math.max(0, starts.after(position + 1) - position));
        if (open === undefined || part.length === 0)
          throw new RangeError(`cannot cut the tar: no span that begins at ${position} was announced`);
        open.hash.update(part);
        open.length += part.length;
        tail.push(part);
        taken += part.length;
        position += part.length;
      }
    },
    end() {
      close();
      return drafts;
    },
  };
}

/** The last bytes that have come, as many as a window has. */
function createTail(): { push(bytes: Uint8Array): void; last(count: number): Uint8Array } {
  const kept = new Uint8Array(WINDOW_BYTES);
  let filled = 0;
  return {
    push(bytes) {
      const part = bytes.subarray(Math.max(0, bytes.length - WINDOW_BYTES));
      const excess = Math.max(0, filled + part.length - WINDOW_BYTES);
      kept.copyWithin(0, excess, filled);
      kept.set(part, filled - excess);
      filled += part.length - excess;
    },
    last: (count) => kept.subarray(Math.max(0, filled - count), filled),
  };
}
