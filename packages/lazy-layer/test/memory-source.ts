import { type BlobRange, type CallOptions, type Descriptor, digestOf, OCI_LAYER_GZIP } from "@lamella/refs";

import type { BlobSource } from "../src/index.js";

/** A blob in memory as a registry gives it, that counts what is asked of it. */
export interface MemorySource extends BlobSource {
  readonly descriptor: Descriptor;
  readonly requests: BlobRange[];
  /** Of several ranges each; {@link giveTogether}. */
  readonly together: (readonly BlobRange[])[];
  /** Streams of the whole blob. */
  readonly streams: number;
  readonly servedBytes: number;
  /** What every request does before its first byte. */
  before: (range: BlobRange, options: CallOptions) => Promise<void>;
  /** What is served: another one than was promised, if a test wants it. */
  bytes: Uint8Array;
  takesRanges: boolean;
}

export interface MemorySourceOptions {
  annotations?: Readonly<Record<string, string>>;
  chunkBytes?: number;
}

export function memorySource(
  bytes: Uint8Array,
  { annotations = {}, chunkBytes = 65_536 }: MemorySourceOptions = {},
): MemorySource {
  let servedBytes = 0;
  let streams = 0;

  async function* serve(range: BlobRange, options: CallOptions): AsyncGenerator<Uint8Array> {
    options.signal?.throwIfAborted();
    await source.before(range, options);
    for (let at = range.offset; at < range.offset + range.length; at += chunkBytes) {
      options.signal?.throwIfAborted();
      const chunk = source.bytes.slice(at, Math.min(at + chunkBytes, range.offset + range.length));
      servedBytes += chunk.length;
      yield chunk;
    }
  }

  const source: MemorySource = {
    descriptor: { mediaType: OCI_LAYER_GZIP, digest: digestOf(bytes), size: bytes.length, annotations },
    requests: [],
    together: [],
    get streams() {
      return streams;
    },
    get servedBytes() {
      return servedBytes;
    },
    before: async () => {},
    bytes,
    takesRanges: true,
    async *fetchRange(_descriptor, range, options = {}) {
      if (!source.takesRanges) throw Object.assign(new Error("it answers the whole"), { code: "range_unusable" });
      source.requests.push(range);
      yield* serve(range, options);
    },
    async *fetch(_descriptor, options = {}) {
      streams++;
      yield* serve({ offset: 0, length: bytes.length }, options);
      if (digestOf(source.bytes) !== source.descriptor.digest)
        throw Object.assign(new Error("another blob"), { code: "digest_mismatch" });
    },
  };
  return source;
}

/** Has a source answer several ranges at once, in the order and as far as `answer` says. */
export function giveTogether(
  source: MemorySource,
  answer: (ranges: readonly BlobRange[], options: CallOptions) => AsyncIterable<BlobRange> | Iterable<BlobRange> = (
    ranges,
  ) => ranges,
): MemorySource {
  source.fetchRanges = async function* (_descriptor, ranges, options = {}) {
    source.together.push(ranges.map(({ offset, length }) => ({ offset, length })));
    for await (const { offset, length } of answer(ranges, options)) {
      for (let at = offset; at < offset + length; at += 10_000) {
        yield { offset: at, bytes: source.bytes.slice(at, Math.min(at + 10_000, offset + length)) };
      }
    }
  };
  return source;
}

/** Bytes that are all different from their neighbours, the same for the same seed. */
export function madeBytes(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed * 2_654_435_761;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(new Uint8Array(chunk));
  return Buffer.concat(parts);
}
