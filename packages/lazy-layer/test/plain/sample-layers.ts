import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";

import { type TarInput, writeTar } from "@lamella/layer-format";
import { type CallOptions, type Descriptor, type Digest, digestOf, OCI_LAYER_GZIP } from "@lamella/refs";

import type { BlobReader } from "../../src/index.js";
import type { PlainIndexStore } from "../../src/plain/index-store.js";
import { sampleBytes } from "./gzip-samples.js";

const PLAIN = {
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtimeSeconds: 1_700_000_000,
  mtimeNanoseconds: 0,
  xattrs: new Map<string, Uint8Array>(),
  size: 0,
  linkTarget: "",
  deviceMajor: 0,
  deviceMinor: 0,
};

export interface SampleFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A tar of these files, with what else a layer may hold among them. */
export async function sampleTar(files: readonly SampleFile[]): Promise<Buffer> {
  async function* inputs(): AsyncGenerator<TarInput> {
    yield { ...PLAIN, path: "dir", kind: "directory", mode: 0o755 };
    yield { ...PLAIN, path: "gone", kind: "whiteout" };
    yield { ...PLAIN, path: "link", kind: "symlink", linkTarget: "dir/".repeat(80), size: 320 };
    for (const [number, { path, bytes }] of files.entries()) {
      const xattrs = number % 3 === 0 ? new Map([["user.number", Buffer.from([number])]]) : PLAIN.xattrs;
      yield { ...PLAIN, path, kind: "file", size: bytes.length, xattrs, contents: () => once(bytes) };
    }
    const extents = [
      { offset: 4096, length: 512 },
      { offset: 1 << 20, length: 700 },
    ];
    const contents = (): AsyncGenerator<Uint8Array> => once(Buffer.alloc(1212, 0x53));
    yield { ...PLAIN, path: "dir/sparse", kind: "file", size: 2 << 20, extents, contents };
    yield { ...PLAIN, path: "other-name", kind: "hardlink", linkTarget: "dir/sparse" };
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(inputs())) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Files of which some are far larger than a span. */
export function sampleFiles(): SampleFile[] {
  const sizes = [10, 0, 512, 5000, 2_300_000, 7, 900_000, 100, 1_200_000, 513, 20];
  return sizes.map((size, number) => ({ path: `dir/file-${number}`, bytes: sampleBytes(size, number + 1) }));
}

export interface SampleBlob {
  readonly descriptor: Descriptor;
  readonly diffID: Digest;
  readonly tar: Buffer;
  readonly bytes: Buffer;
}

export function blobOf(tar: Buffer, bytes: Buffer): SampleBlob {
  const descriptor = { mediaType: OCI_LAYER_GZIP, digest: digestOf(bytes), size: bytes.length };
  return { descriptor, diffID: digestOf(tar), tar, bytes };
}

/** One tar in every compression. zstd as Node 20 can make it: blocks of bytes as they are (RFC 8878, section 3.1.1). */
export function compressions(tar: Buffer): Record<"plain" | "gzip" | "members" | "zstd" | "frames", SampleBlob> {
  const frames = Array.from({ length: Math.ceil(tar.length / 300_000) }, (_, number) =>
    zstdFrame(tar.subarray(300_000 * number, 300_000 * (number + 1))),
  );
  const skippable = Buffer.from("502a4d1803000000aabbcc", "hex");
  const middle = 1_000_000;
  return {
    plain: blobOf(tar, tar),
    gzip: blobOf(tar, gzipSync(tar)),
    members: blobOf(tar, Buffer.concat([gzipSync(tar.subarray(0, middle)), gzipSync(tar.subarray(middle))])),
    zstd: blobOf(tar, zstdFrame(tar)),
    frames: blobOf(tar, Buffer.concat([skippable, ...frames.slice(0, 3), skippable, ...frames.slice(3), skippable])),
  };
}

function zstdFrame(bytes: Uint8Array): Buffer {
  const header = Buffer.from("28b52ffda000000000", "hex");
  header.writeUInt32LE(bytes.length, 5);
  const parts: Uint8Array[] = [header];
  for (let at = 0; at < bytes.length; at += 65_536) {
    const block = bytes.subarray(at, at + 65_536);
    const blockHeader = Buffer.alloc(3);
    blockHeader.writeUIntLE((block.length << 3) | (at + 65_536 >= bytes.length ? 1 : 0), 0, 3);
    parts.push(blockHeader, block);
  }
  return Buffer.concat(parts);
}

/** Reads a blob in memory and counts what is asked for. */
export interface MemoryReader extends BlobReader {
  /** What is read: another one than was promised, if a test wants it. */
  bytes: Buffer;
  readonly reads: { readonly offset: number; readonly length: number }[];
  readonly drops: { readonly offset: number; readonly length: number }[];
  /** What `drop` does to the bytes. */
  onDrop: () => void;
}

export function memoryReader({ descriptor, bytes }: SampleBlob): MemoryReader {
  const reader: MemoryReader = {
    descriptor,
    size: descriptor.size,
    bytes,
    reads: [],
    drops: [],
    onDrop: () => undefined,
    async *read(offset, length, { signal }: CallOptions = {}) {
      signal?.throwIfAborted();
      reader.reads.push({ offset, length });
      for (let at = offset; at < offset + length; at += 65_536) {
        await delay(0);
        signal?.throwIfAborted();
        yield Buffer.from(reader.bytes.subarray(at, Math.min(at + 65_536, offset + length)));
      }
    },
    drop(offset, length) {
      reader.drops.push({ offset, length });
      reader.onDrop();
      return Promise.resolve();
    },
  };
  return reader;
}

export function memoryIndexes(): PlainIndexStore & { readonly kept: Map<Digest, Uint8Array> } {
  const kept = new Map<Digest, Uint8Array>();
  return {
    kept,
    get: (digest) => Promise.resolve(kept.get(digest)),
    put(digest, index) {
      kept.set(digest, index);
      return Promise.resolve();
    },
  };
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}
