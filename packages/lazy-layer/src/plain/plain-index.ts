import type { Digest } from "@lamella/refs";

/** What a decoder finds where a span is entered: the tar itself, a gzip member, the middle of one, or a zstd frame. */
export type SpanKind = "none" | "gzip" | "deflate" | "zstd";

/** A piece of a layer's tar that can be unpacked and verified by itself. */
export interface Span {
  /** Where it begins in the tar; spans follow each other there. */
  readonly offset: number;
  /** Bytes of the tar. */
  readonly length: number;
  readonly kind: SpanKind;
  /** The byte of the blob from which on it is unpacked. Of spans that share it, the later ones are reached through those before. */
  readonly blobOffset: number;
  /** Nothing from here on is needed. */
  readonly blobEnd: number;
  /** Bytes that are unpacked before it and belong to the spans before. */
  readonly skippedBytes: number;
  /** For `deflate`: the bit of the first byte where it begins. */
  readonly bit: number;
  /** For `deflate`: what the decoder is given before that byte. */
  readonly prefix: Uint8Array;
  /** For `deflate`: the output before it that matches reach back to, at most 32 KiB, deflated. */
  readonly window: Uint8Array;
  readonly sha256: Uint8Array;
}

/**
 * What has to be known of a layer without a table of contents to read single files of it from its blob.
 *
 * One that was made here was made of a blob that had its digest and a tar that had its diffID. One that comes from elsewhere says what it likes:
 * its spans are proven against it, and it only when the layer is read whole.
 */
export interface PlainIndex {
  /** The blob's digest. */
  readonly digest: Digest;
  readonly blobBytes: number;
  readonly diffID: Digest;
  readonly tarBytes: number;
  readonly spans: readonly Span[];
  /** What of the tar is not files' data, gzip: see `tarHeads`. */
  readonly heads: Uint8Array;
}

/** Output of one span, about; what a read of one byte unpacks. */
export const SPAN_BYTES: number = 2 * 2 ** 20;
/** Of a blob that is not compressed, where a span costs only its hash. */
export const PLAIN_SPAN_BYTES: number = 256 * 1024;
/** More no span has: a stored block of deflate is not cut. */
export const MAX_SPAN_BYTES: number = 4 * 2 ** 20;
/** Bytes of a gzip blob that one span may have: it is unpacked in memory. Only blocks that hold nothing need more than the span itself. */
export const MAX_SPAN_BLOB_BYTES: number = 16 * 2 ** 20;
/** What a match of deflate reaches back to. */
export const WINDOW_BYTES: number = 32 * 1024;

/** A span before the blob's later entry points are known. */
export type SpanDraft = Omit<Span, "offset" | "blobEnd" | "skippedBytes">;

/** Spans with what follows from their order. */
export function arrangeSpans(drafts: readonly SpanDraft[], blobBytes: number): Span[] {
  const spans: (SpanDraft & { offset: number; blobEnd: number; skippedBytes: number })[] = [];
  let offset = 0;
  let entered = 0;
  for (const draft of drafts) {
    if (spans.at(-1)?.blobOffset !== draft.blobOffset) entered = offset;
    spans.push({ ...draft, offset, blobEnd: blobBytes, skippedBytes: offset - entered });
    offset += draft.length;
  }
  for (let index = spans.length - 2; index >= 0; index--) {
    const span = spans[index]!;
    const next = spans[index + 1]!;
    const nextByte = next.bit === 0 ? next.blobOffset : next.blobOffset + 1;
    span.blobEnd = next.blobOffset === span.blobOffset ? next.blobEnd : nextByte;
  }
  return spans;
}

/** A span of a gzip blob that is larger there than it may be. */
export function findOversized(spans: readonly Span[]): Span | undefined {
  return spans.find(({ kind, blobOffset, blobEnd }) => {
    const isInflated = kind === "gzip" || kind === "deflate";
    return isInflated && blobEnd - blobOffset > MAX_SPAN_BLOB_BYTES;
  });
}
