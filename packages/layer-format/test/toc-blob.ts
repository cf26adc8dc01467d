import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

import { type BlobRange, type Descriptor, digestOf, OCI_LAYER_GZIP, type RangeFetcher } from "@lamella/refs";

import { TOC_DIGEST_ANNOTATION } from "../src/toc/layout.js";
import { archive, file } from "./tar-builder.js";

/** A blob in memory that counts what is asked of it. */
export interface MemoryBlob extends RangeFetcher {
  readonly descriptor: Descriptor;
  readonly requests: BlobRange[];
}

export function memoryBlob(bytes: Uint8Array, annotations: Readonly<Record<string, string>> = {}): MemoryBlob {
  const requests: BlobRange[] = [];
  return {
    descriptor: { mediaType: OCI_LAYER_GZIP, digest: digestOf(bytes), size: bytes.length, annotations },
    requests,
    async *fetchRange(_descriptor, range, { signal } = {}) {
      signal?.throwIfAborted();
      requests.push(range);
      const part = bytes.subarray(range.offset, range.offset + range.length);
      for (let at = 0; at < part.length; at += 1000) yield Buffer.from(part.subarray(at, at + 1000));
    },
  };
}

/** An output that keeps what it is given. */
export function memoryOutput(): { write(bytes: Uint8Array): Promise<void>; bytes(): Buffer } {
  const parts: Buffer[] = [];
  return {
    write(bytes) {
      parts.push(Buffer.from(bytes));
      return Promise.resolve();
    },
    bytes: () => Buffer.concat(parts),
  };
}

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** The footer as estargz.md has it, written out. */
export function stargzFooter(tocOffset: number): Buffer {
  const field = `${tocOffset.toString(16).padStart(16, "0")}STARGZ`;
  return Buffer.concat([
    Buffer.from("1f8b08040000000000ff1a0053471600", "hex"),
    Buffer.from(field),
    Buffer.from("010000ffff0000000000000000", "hex"),
  ]);
}

/** An eStargz blob around a table of contents that may say anything; its data is `data`, one member each. */
export function stargzBlob(
  toc: unknown,
  { data = [], footer = stargzFooter }: { data?: readonly Uint8Array[]; footer?: (tocOffset: number) => Buffer } = {},
): MemoryBlob {
  const json = typeof toc === "string" ? Buffer.from(toc) : Buffer.from(JSON.stringify(toc));
  const members = Buffer.concat(data.map((bytes) => gzipSync(bytes)));
  const table = gzipSync(archive(file("stargz.index.json", json)));
  const blob = Buffer.concat([members, table, footer(members.length)]);
  return memoryBlob(blob, { [TOC_DIGEST_ANNOTATION]: sha256(json) });
}
