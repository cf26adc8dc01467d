import { createHash, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";

import { LayerFormatError } from "@lamella/layer-format";
import { LamellaError } from "@lamella/refs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";

import { LazyLayerError } from "../../src/errors.js";
import { decodePlainIndex } from "../../src/plain/index-reader.js";
import { HEADER_BYTES, SPAN_RECORD_BYTES } from "../../src/plain/index-layout.js";
import { encodePlainIndex } from "../../src/plain/index-writer.js";
import { indexLayer, makePlainIndex } from "../../src/plain/make-index.js";
import { openPlainLayer } from "../../src/plain/plain-layer.js";
import type { PlainIndex } from "../../src/plain/plain-index.js";
import { createTarHeadsRecorder, readTarHeads } from "../../src/plain/tar-heads.js";
import { sampleBytes } from "./gzip-samples.js";
import {
  blobOf,
  collect,
  compressions,
  memoryIndexes,
  memoryReader,
  once,
  type SampleBlob,
  sampleTar,
} from "./sample-layers.js";

let tar: Buffer;
let blobs: ReturnType<typeof compressions>;
beforeAll(async () => {
  tar = await sampleTar([
    { path: "dir/large", bytes: sampleBytes(5_000_000) },
    { path: "dir/small", bytes: sampleBytes(300, 2) },
  ]);
  blobs = compressions(tar);
});

const indexOf = (blob: SampleBlob): Promise<PlainIndex> => indexLayer(once(blob.bytes), blob);

/** With the checksum that it then has to have. */
function sealed(index: Uint8Array): Uint8Array {
  const end = index.length - 32;
  return Buffer.concat([index.subarray(0, end), createHash("sha256").update(index.subarray(0, end)).digest()]);
}

describe("makePlainIndex()", () => {
  it("makes spans that cover the tar, and whose hashes are those of its bytes", async () => {
    for (const blob of Object.values(blobs)) {
      const { spans, tarBytes } = await indexOf(blob);
      expect(tarBytes).toBe(tar.length);
      let end = 0;
      for (const { offset, length, sha256, blobEnd } of spans) {
        expect(offset).toBe(end);
        end += length;
        expect(blobEnd).toBeLessThanOrEqual(blob.bytes.length);
        expect(createHash("sha256").update(tar.subarray(offset, end)).digest().equals(sha256)).toBe(true);
      }
      expect(end).toBe(tar.length);
    }
  });

  it("makes the same whatever the chunks are", async () => {
    for (const blob of Object.values(blobs)) {
      const pieces = async function* (): AsyncGenerator<Uint8Array> {
        for (let at = 0, step = 1; at < blob.bytes.length; at += step, step = (step * 3) % 70_001) {
          const piece = Buffer.from(blob.bytes.subarray(at, at + step));
          yield piece;
          // A source may use its buffer again.
          piece.fill(0);
        }
      };
      const index = await makePlainIndex(pieces(), blob);
      expect(Buffer.from(index).equals(encodePlainIndex(await indexOf(blob)))).toBe(true);
    }
  });

  it("has a span's beginning before its output comes, where a few bytes of the blob are many of the tar", async () => {
    // As many as are unpacked at once, up to the middle of the zeros.
    const noise = randomBytes(270_000);
    const small = await sampleTar([
      { path: "noise", bytes: noise },
      { path: "zeros", bytes: Buffer.alloc(2_500_000) },
    ]);
    const blob = blobOf(small, gzipSync(small));
    const whole = encodePlainIndex(await indexOf(blob));
    const { blobOffset } = decodePlainIndex(whole).spans[1]!;
    for (let cut = blobOffset - 2; cut < blobOffset + 8; cut++) {
      const pieces = async function* (): AsyncGenerator<Uint8Array> {
        yield blob.bytes.subarray(0, cut);
        await delay(20);
        yield blob.bytes.subarray(cut);
      };
      expect(Buffer.from(await makePlainIndex(pieces(), blob)).equals(whole)).toBe(true);
    }
  });

  it("begins spans with frames of a zstd blob, and enters a frame at its beginning only", async () => {
    const frames = await indexOf(blobs.frames);
    expect(new Set(frames.spans.map(({ blobOffset }) => blobOffset)).size).toBe(frames.spans.length);
    const zstd = await indexOf(blobs.zstd);
    expect(zstd.spans.length).toBeGreaterThan(1);
    for (const { blobOffset, skippedBytes, offset } of zstd.spans)
      expect({ blobOffset, skippedBytes }).toEqual({ blobOffset: 0, skippedBytes: offset });
  });

  it("refuses a blob of other bytes than its descriptor's", async () => {
    const { gzip } = blobs;
    await expect(makePlainIndex(once(gzip.bytes.subarray(0, -1)), gzip)).rejects.toMatchObject({
      code: "size_mismatch",
    });
    const other = gzipSync(tar, { level: 1 });
    const lie = { ...gzip, descriptor: { ...gzip.descriptor, size: other.length } };
    await expect(makePlainIndex(once(other), lie)).rejects.toMatchObject({ code: "digest_mismatch" });
  });

  it("refuses what no layer may be", async () => {
    const xz = Buffer.from("fd377a585a000004", "hex");
    const refused = makePlainIndex(once(xz), blobOf(xz, xz));
    await expect(refused).rejects.toMatchObject({ code: "compression_invalid" });
    const trailing = Buffer.concat([gzipSync(tar), Buffer.from("garbage")]);
    await expect(indexOf(blobOf(tar, trailing))).rejects.toMatchObject({ code: "compression_invalid" });
  });

  it("refuses a blob that is mostly blocks of nothing", async () => {
    const empty = gzipSync(Buffer.alloc(0));
    const many = Buffer.alloc(empty.length * 850_000, empty);
    await expect(indexOf(blobOf(tar, Buffer.concat([gzipSync(tar), many])))).rejects.toMatchObject({
      code: "layer_limit",
    });
  });

  it("ends with the signal's reason", async () => {
    const reason = new Error("enough");
    const aborted = makePlainIndex(once(tar), blobs.plain, { signal: AbortSignal.abort(reason) });
    await expect(aborted).rejects.toBe(reason);
  });
});

describe("decodePlainIndex()", () => {
  it("reads what was written", async () => {
    for (const blob of Object.values(blobs)) {
      const index = await indexOf(blob);
      const read = decodePlainIndex(encodePlainIndex(index));
      expect(read.spans.map((span) => ({ ...span, prefix: [...span.prefix], sha256: [...span.sha256] }))).toEqual(
        index.spans.map((span) => ({
          ...span,
          window: Buffer.from(span.window),
          prefix: [...span.prefix],
          sha256: [...span.sha256],
        })),
      );
      expect({ ...read, spans: 0, heads: 0 }).toEqual({ ...index, spans: 0, heads: 0 });
      expect(Buffer.from(read.heads).equals(index.heads)).toBe(true);
    }
  });

  it("finds every damaged byte", async () => {
    const index = encodePlainIndex(await indexOf(await smallBlob()));
    for (let at = 0; at < index.length; at++) {
      index[at]! ^= 1 << (at % 8);
      expect(() => decodePlainIndex(index)).toThrow(LazyLayerError);
      index[at]! ^= 1 << (at % 8);
    }
    for (let length = 0; length < index.length; length += 7)
      expect(() => decodePlainIndex(index.subarray(0, length))).toThrow(LazyLayerError);
    expect(() => decodePlainIndex(Buffer.concat([index, Buffer.alloc(1)]))).toThrow(LazyLayerError);
  });

  it("writes and reads no index of more spans than a layer may have", async () => {
    const { spans, ...index } = await indexLayer(once(blobs.plain.bytes), blobs.plain);
    const many = { ...index, spans: Array.from({ length: 2 ** 20 + 1 }, () => spans[0]!) };
    expect(() => encodePlainIndex(many)).toThrow(expect.objectContaining({ code: "layer_limit" }));
    const forged = encodePlainIndex({ ...index, spans });
    new DataView(forged.buffer, forged.byteOffset).setUint32(12, 2 ** 20 + 1, true);
    expect(() => decodePlainIndex(sealed(forged))).toThrow("cannot read index of layer: it has over 1048576 spans");
  });

  it("says which version it does not know", async () => {
    const index = encodePlainIndex(await indexOf(await smallBlob()));
    index[8] = 2;
    expect(() => decodePlainIndex(index)).toThrow("cannot read index of layer: its version is 2, not 1");
  });

  it("lets no index, whatever is in it, give out bytes that are not the layer's where it has its hashes", async () => {
    const blob = await smallBlob();
    const index = encodePlainIndex(await indexOf(blob));
    const { spans } = decodePlainIndex(index);
    const hashes = new Set(
      spans.flatMap((_, number) => {
        const start = HEADER_BYTES + SPAN_RECORD_BYTES * number + 18;
        return Array.from({ length: 32 }, (_byte, at) => start + at);
      }),
    );
    for (let at = 0; at < index.length - 32; at++) {
      if (hashes.has(at)) continue;
      const forged = Uint8Array.from(index);
      forged[at]! ^= 1 << (at % 8);
      await expectHarmless(blob, sealed(forged));
    }
  });

  it("lets no index do more than fail (property)", async () => {
    const blob = await smallBlob();
    const index = encodePlainIndex(await indexOf(blob));
    const change = fc.record({
      at: fc.nat({ max: index.length - 33 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const forged = Uint8Array.from(index);
        for (const { at, bytes } of changes) forged.set(bytes.subarray(0, forged.length - 32 - at), at);
        await expectHarmless(blob, sealed(forged), false);
      }),
      { numRuns: Number(process.env["LAMELLA_PLAIN_RUNS"] ?? 100) },
    );
  });
});

/** A layer with two spans, the second in the middle of a gzip member. */
async function smallBlob(): Promise<SampleBlob> {
  const small = await sampleTar([{ path: "zeros", bytes: Buffer.alloc(2_200_000) }]);
  return blobOf(small, gzipSync(small));
}

/** Opening and reading gives the layer's bytes or an error with a code. An index that is refused would be made anew: here it is not. */
async function expectHarmless(blob: SampleBlob, index: Uint8Array, hasHashes = true): Promise<void> {
  const indexes = memoryIndexes();
  indexes.kept.set(blob.descriptor.digest, index);
  const reader = memoryReader(blob);
  const { read } = reader;
  reader.read = () => {
    throw new LazyLayerError("unavailable", "cannot read the blob: the test does not let it");
  };
  try {
    await using layer = await openPlainLayer(reader, { diffID: blob.diffID, indexes });
    reader.read = (offset, length, options) => {
      expect(offset >= 0 && length > 0 && offset + length <= blob.bytes.length).toBe(true);
      return read(offset, length, options);
    };
    const bytes = await collect(layer.readContents(0, blob.tar.length));
    if (hasHashes) expect(bytes.equals(blob.tar)).toBe(true);
  } catch (error) {
    expect(error).toBeInstanceOf(LamellaError);
  }
}

describe("readTarHeads()", () => {
  it("gives the entries of a tar from its heads, which are small", async () => {
    const recorder = createTarHeadsRecorder({});
    for (let at = 0; at < tar.length; at += 700) recorder.push(tar.subarray(at, at + 700));
    const heads = recorder.end();
    expect(heads.length).toBeLessThan(2000);
    const entries = await readTarHeads(heads, tar.length, {});
    expect(entries.map(({ path }) => path)).toEqual([
      "dir",
      "gone",
      "link",
      "dir/large",
      "dir/small",
      "dir/sparse",
      "other-name",
    ]);
    await expect(readTarHeads(heads, 4_000_000, {})).rejects.toMatchObject({ code: "index_invalid" });
    await expect(readTarHeads(gzipSync(Buffer.alloc(700, 1)), 4_000_000, {})).rejects.toThrow(LayerFormatError);
  });

  it("keeps what stands between entries without being one, within bounds", async () => {
    const [start, end] = [Buffer.from(tar.subarray(0, 512)), Buffer.alloc(1024)];
    const ignored = (bytes: number): Buffer => {
      const header = Buffer.from(tar.subarray(512, 1024));
      header.fill(0, 0, 100).write(".wh..wh.plnk/1");
      header.write(bytes.toString(8).padStart(11, "0"), 124);
      header.fill(" ", 148, 156);
      header.write(
        `${header
          .reduce((sum, byte) => sum + byte, 0)
          .toString(8)
          .padStart(6, "0")}\0 `,
        148,
      );
      return Buffer.concat([header, Buffer.alloc(512 * Math.ceil(bytes / 512), 7)]);
    };
    const record = (...parts: Buffer[]): Uint8Array => {
      const recorder = createTarHeadsRecorder({});
      for (const part of parts) recorder.push(part);
      return recorder.end();
    };
    const entries = await readTarHeads(record(start, ignored(9000), start, end), 1 << 20, {});
    expect(entries.map(({ path }) => path)).toEqual(["dir", "dir"]);
    const garbage = Buffer.alloc(20_000_000, 1);
    expect(await readTarHeads(record(start, end, garbage), 1 << 20, {})).toHaveLength(1);
    expect(() => record(start, ignored(20_000_000), start, end)).toThrow(
      expect.objectContaining({ code: "layer_limit" }),
    );
  });
});
