import type { BlobRange } from "@lamella/refs";

import type { CachedBlob } from "../cache/cached-blob.js";
import { endOf } from "../cache/extent-list.js";
import type { RangeFetch } from "./range-fetch.js";

/** What one request brings at most. */
export const PIECE_BYTES: number = 4 * 2 ** 20;
/** And at least, where that much is missing: the way to a registry takes longer than these bytes. */
export const LEAST_BYTES: number = 64 * 1024;
/** What is there already is fetched again, up to so much, if that saves a request. */
const GAP_BYTES = 64 * 1024;
/** A table of contents stands at a blob's end: so much of it comes with the first request there, as a part of the blob. */
const TAIL_PART = 256;
const MAX_TAIL_BYTES = 2 ** 20;
/** So many ranges stand in one request at most: some servers take more for an attack. */
const RANGES_AT_ONCE = 16;

/** What requests ask for: by what is in the cache, and what is on its way. */
export class RequestRanges {
  readonly #size: number;
  readonly #cached: Pick<CachedBlob, "covering" | "nextAfter">;
  readonly #fetches: Iterable<RangeFetch>;

  /** @param fetches What is on its way, as it changes. */
  constructor(size: number, cached: Pick<CachedBlob, "covering" | "nextAfter">, fetches: Iterable<RangeFetch>) {
    this.#size = size;
    this.#cached = cached;
    this.#fetches = fetches;
  }

  /** What brings a byte. */
  fetchOf(position: number): RangeFetch | undefined {
    for (const fetch of this.#fetches) {
      const isUsable = !fetch.signal.aborted && fetch.offset <= position && position < endOf(fetch);
      if (isUsable) return fetch;
    }
    return undefined;
  }

  /** Whether nothing of a range is there or on its way. */
  isMissing({ offset, length }: BlobRange): boolean {
    return this.#knownEnd(offset) === offset && (this.#nextKnown(offset) ?? Infinity) >= offset + length;
  }

  /** What is missing of the bytes before `end`: ranges together that one request may bring. */
  *missing(end: number): Generator<readonly BlobRange[]> {
    let together: BlobRange[] = [];
    let bytes = 0;
    for (const range of this.#missingPieces(end)) {
      if (together.length === RANGES_AT_ONCE || bytes + range.length > PIECE_BYTES) {
        yield together;
        [together, bytes] = [[], 0];
      }
      together.push(range);
      bytes += range.length;
    }
    if (together.length > 0) yield together;
  }

  /** For a read from a missing byte on: what is missing of it, more where that is little, gaps included. Begins before it at the blob's end. */
  around(position: number, end: number): BlobRange {
    const tailStart = this.#size - Math.min(MAX_TAIL_BYTES, Math.max(LEAST_BYTES, Math.floor(this.#size / TAIL_PART)));
    const offset = end === this.#size && position > tailStart ? this.#missingFrom(tailStart, position) : position;
    const wanted = Math.min(end, offset + PIECE_BYTES);
    let stop = Math.max(wanted, Math.min(this.#size, offset + LEAST_BYTES));
    for (let known = this.#nextKnown(offset); known !== undefined && known < stop; known = this.#nextKnown(known)) {
      const knownEnd = this.#knownEnd(known);
      const isGap = knownEnd - known <= GAP_BYTES && knownEnd < wanted && this.fetchOf(known) === undefined;
      if (!isGap) stop = known;
    }
    return { offset, length: stop - offset };
  }

  /** The next piece of a read up to `end`, while `fetch` comes; undefined where that is far off, or none. */
  next(fetch: RangeFetch, end: number): BlobRange | undefined {
    const from = this.#knownEnd(endOf(fetch));
    return from >= end || from - endOf(fetch) >= PIECE_BYTES ? undefined : this.around(from, end);
  }

  /** What to read ahead of `end`; undefined where enough is there. */
  ahead(end: number, windowBytes: number): BlobRange | undefined {
    const offset = this.#knownEnd(end);
    // Half a window is enough for now: requests shall be large.
    if (windowBytes === 0 || offset >= this.#size || offset - end > windowBytes / 2) return undefined;
    return { offset, length: Math.min(windowBytes, (this.#nextKnown(offset) ?? this.#size) - offset) };
  }

  *#missingPieces(end: number): Generator<BlobRange> {
    for (let offset = this.#knownEnd(0); offset < end; offset = this.#knownEnd(offset)) {
      const length = Math.min(PIECE_BYTES, end - offset, (this.#nextKnown(offset) ?? end) - offset);
      yield { offset, length };
      offset += length;
    }
  }

  /** The first byte of `least` to `position` from which on all of that is missing. */
  #missingFrom(least: number, position: number): number {
    let start = Math.max(0, least);
    for (let end = this.#knownEnd(start); start < position; end = this.#knownEnd(start)) {
      start = end;
      const next = this.#nextKnown(start);
      if (next === undefined || next > position) break;
      start = next;
    }
    return Math.min(start, position);
  }

  /** Where what is there or on its way ends, from a position on; the position itself if it is missing. */
  #knownEnd(position: number): number {
    let end = position;
    for (;;) {
      const known = this.#cached.covering(end) ?? this.fetchOf(end);
      if (known === undefined) return end;
      end = endOf(known);
    }
  }

  #nextKnown(position: number): number | undefined {
    let next = this.#cached.nextAfter(position);
    for (const { offset } of this.#fetches) {
      if (offset > position && (next === undefined || offset < next)) next = offset;
    }
    return next;
  }
}
