import { createHash } from "node:crypto";

import { LayerFormatError } from "@lamella/layer-format";
import type { Digest } from "@lamella/refs";

import {
  CHECKSUM_BYTES,
  DIGEST_BYTES,
  HEADER_BYTES,
  INDEX_MAGIC,
  INDEX_VERSION,
  MAX_INDEX_BYTES,
  MAX_SPANS,
  SPAN_KINDS,
  SPAN_RECORD_BYTES,
} from "./index-layout.js";
import type { PlainIndex } from "./plain-index.js";

/** @throws {LayerFormatError} `layer_limit` for an index of over 512 MiB or 2^20 spans. */
export function encodePlainIndex(index: PlainIndex): Uint8Array {
  const { digest, diffID, blobBytes, tarBytes, spans, heads } = index;
  const beginnings = HEADER_BYTES + SPAN_RECORD_BYTES * spans.length;
  const beginningsBytes = spans.reduce((sum, { prefix, window }) => sum + prefix.length + window.length, 0);
  const size = beginnings + beginningsBytes + heads.length + CHECKSUM_BYTES;
  if (size > MAX_INDEX_BYTES || spans.length > MAX_SPANS) {
    const rule = `its index would have over ${MAX_INDEX_BYTES} bytes or ${MAX_SPANS} spans`;
    throw new LayerFormatError("layer_limit", `cannot index layer ${digest}: ${rule}`);
  }
  const bytes = Buffer.alloc(size);
  bytes.write(INDEX_MAGIC, "latin1");
  bytes.writeUInt32LE(INDEX_VERSION, 8);
  bytes.writeUInt32LE(spans.length, 12);
  bytes.writeBigUInt64LE(BigInt(blobBytes), 16);
  bytes.writeBigUInt64LE(BigInt(tarBytes), 24);
  bytes.writeBigUInt64LE(BigInt(heads.length), 32);
  writeDigest(bytes, digest, 40);
  writeDigest(bytes, diffID, 40 + DIGEST_BYTES);
  let place = beginnings;
  for (const [number, { blobOffset, length, prefix, window, kind, bit, sha256 }] of spans.entries()) {
    const at = HEADER_BYTES + SPAN_RECORD_BYTES * number;
    bytes.writeBigUInt64LE(BigInt(blobOffset), at);
    bytes.writeUInt32LE(length, at + 8);
    bytes.writeUInt16LE(prefix.length, at + 12);
    bytes.writeUInt16LE(window.length, at + 14);
    bytes.writeUInt8(SPAN_KINDS.indexOf(kind), at + 16);
    bytes.writeUInt8(bit, at + 17);
    bytes.set(sha256, at + 18);
    bytes.set(prefix, place);
    bytes.set(window, place + prefix.length);
    place += prefix.length + window.length;
  }
  bytes.set(heads, place);
  const end = size - CHECKSUM_BYTES;
  bytes.set(createHash("sha256").update(bytes.subarray(0, end)).digest(), end);
  return bytes;
}

function writeDigest(bytes: Buffer, digest: Digest, at: number): void {
  bytes.write(digest, at, DIGEST_BYTES, "latin1");
}
