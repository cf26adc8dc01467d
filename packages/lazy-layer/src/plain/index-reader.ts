import { createHash } from "node:crypto";

import { type Digest, isDigest } from "@lamella/refs";

import { LazyLayerError } from "../errors.js";
import {
  CHECKSUM_BYTES,
  DIGEST_BYTES,
  HEADER_BYTES,
  INDEX_MAGIC,
  INDEX_VERSION,
  MAX_INDEX_BYTES,
  MAX_PREFIX_BYTES,
  MAX_SPANS,
  SPAN_KINDS,
  SPAN_RECORD_BYTES,
} from "./index-layout.js";
import { arrangeSpans, findOversized, MAX_SPAN_BYTES, type PlainIndex, type SpanDraft } from "./plain-index.js";

/**
 * Reads an index, which may come from anywhere: what it gives is consistent, its sizes are within limits and nothing of it lies outside of
 * blob and tar. Whether its spans are the layer's, only the layer can prove. The arrays are views of `bytes`.
 *
 * @throws {LazyLayerError} `index_invalid`
 */
export function decodePlainIndex(bytes: Uint8Array): PlainIndex {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  checkFrame(file);
  const spanCount = file.readUInt32LE(12);
  const blobBytes = wideAt(file, 16);
  const tarBytes = wideAt(file, 24);
  const headsBytes = wideAt(file, 32);
  const beginnings = HEADER_BYTES + SPAN_RECORD_BYTES * spanCount;
  const end = file.length - CHECKSUM_BYTES;
  if (spanCount > MAX_SPANS) invalid(`it has over ${MAX_SPANS} spans`);
  if (beginnings + headsBytes > end) invalid("it ends inside its spans");
  const drafts: SpanDraft[] = [];
  let place = beginnings;
  let offset = 0;
  for (let at = HEADER_BYTES; at < beginnings; at += SPAN_RECORD_BYTES) {
    const prefixEnd = place + file.readUInt16LE(at + 12);
    const windowEnd = prefixEnd + file.readUInt16LE(at + 14);
    if (windowEnd + headsBytes > end) invalid("it ends inside the beginning of a span");
    const draft: SpanDraft = {
      blobOffset: wideAt(file, at),
      length: file.readUInt32LE(at + 8),
      prefix: file.subarray(place, prefixEnd),
      window: file.subarray(prefixEnd, windowEnd),
      kind: SPAN_KINDS[file.readUInt8(at + 16)] ?? invalid("a span is of no known kind"),
      bit: file.readUInt8(at + 17),
      sha256: file.subarray(at + 18, at + SPAN_RECORD_BYTES),
    };
    checkSpan(draft, drafts.at(-1), offset, blobBytes);
    drafts.push(draft);
    offset += draft.length;
    place = windowEnd;
  }
  if (place + headsBytes !== end) invalid("its sections do not fill it");
  if (offset !== tarBytes) invalid(`its spans have ${offset} bytes, the tar ${tarBytes}`);
  const spans = arrangeSpans(drafts, blobBytes);
  if (findOversized(spans) !== undefined) invalid("a span is too large in the blob");
  return {
    digest: digestAt(file, 40),
    blobBytes,
    diffID: digestAt(file, 40 + DIGEST_BYTES),
    tarBytes,
    spans,
    heads: file.subarray(place, end),
  };
}

function checkFrame(file: Buffer): void {
  if (file.length > MAX_INDEX_BYTES) invalid(`it has over ${MAX_INDEX_BYTES} bytes`);
  if (file.length < HEADER_BYTES + CHECKSUM_BYTES) invalid(`it has ${file.length} bytes, fewer than any index`);
  if (file.toString("latin1", 0, INDEX_MAGIC.length) !== INDEX_MAGIC)
    invalid("it does not begin with the magic of one");
  const version = file.readUInt32LE(8);
  if (version !== INDEX_VERSION) invalid(`its version is ${version}, not ${INDEX_VERSION}`);
  const end = file.length - CHECKSUM_BYTES;
  if (!createHash("sha256").update(file.subarray(0, end)).digest().equals(file.subarray(end)))
    invalid("it does not fit its checksum");
}

function checkSpan(span: SpanDraft, before: SpanDraft | undefined, offset: number, blobBytes: number): void {
  const { kind, blobOffset, length, bit, prefix, window } = span;
  if (length === 0 || length > MAX_SPAN_BYTES) invalid(`a span has ${length} bytes`);
  if (blobOffset >= blobBytes) invalid("a span lies outside of the blob");
  if (prefix.length > MAX_PREFIX_BYTES || bit > 7) invalid("the beginning of a span is wrong");
  if (kind !== "deflate" && bit + prefix.length + window.length > 0)
    invalid("a span has a beginning that it cannot use");
  if (kind === "deflate" && bit > 0 && prefix.length === 0) invalid("the beginning of a span is missing");
  // The bytes of a tar stand where they stand: then nothing else is to be checked of a blob that is one.
  if (kind === "none" && (blobOffset !== offset || offset + length > blobBytes))
    invalid("a span is elsewhere in the blob");
  if (before === undefined) return;
  const isShared = blobOffset === before.blobOffset && kind === "zstd" && before.kind === "zstd";
  if (blobOffset <= before.blobOffset && !isShared) invalid("spans are not in the blob's order");
}

function digestAt(file: Buffer, at: number): Digest {
  const text = file.toString("latin1", at, at + DIGEST_BYTES).replace(/\0+$/, "");
  return isDigest(text) ? text : invalid("a digest of it is none");
}

function wideAt(file: Buffer, at: number): number {
  const value = Number(file.readBigUInt64LE(at));
  return Number.isSafeInteger(value) ? value : invalid("a number of it is too large");
}

function invalid(state: string): never {
  throw new LazyLayerError("index_invalid", `cannot read index of layer: ${state}`);
}
