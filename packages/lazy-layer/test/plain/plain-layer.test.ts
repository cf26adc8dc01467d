import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { createLayerReader, type Layer, type LayerEntry } from "@lamella/layer-format";
import { digestOf } from "@lamella/refs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";

import { createChunkMemory } from "../../src/chunk-memory.js";
import { openPlainIndexStore } from "../../src/plain/index-store.js";
import { openPlainLayer } from "../../src/plain/plain-layer.js";
import { scratchDirectory } from "../scratch.js";
import {
  blobOf,
  collect,
  compressions,
  memoryIndexes,
  memoryReader,
  type SampleBlob,
  sampleFiles,
  sampleTar,
} from "./sample-layers.js";

const FILES = sampleFiles();
let blobs: ReturnType<typeof compressions>;
beforeAll(async () => {
  blobs = compressions(await sampleTar(FILES));
});

const KINDS = ["plain", "gzip", "members", "zstd", "frames"] as const;

function entriesOf(tar: Uint8Array): LayerEntry[] {
  const entries: LayerEntry[] = [];
  const reader = createLayerReader({
    entry: (entry, dataOffset) => entries.push(entry.kind === "file" ? { ...entry, contentOffset: dataOffset } : entry),
    contents: () => undefined,
  });
  reader.push(tar);
  reader.end();
  return entries;
}

async function readFile(layer: Layer, path: string): Promise<Buffer> {
  const entry = layer.entries.find((candidate) => candidate.path === path);
  if (entry === undefined) throw new Error(`${path} is missing`);
  return collect(layer.readContents(entry.contentOffset, entry.size));
}

/** For what should fail: the bytes themselves would take minutes to print. */
const lengthOf = async (layer: Layer, path: string): Promise<number> => (await readFile(layer, path)).length;

const readBytes = (reads: readonly { length: number }[]): number => reads.reduce((sum, { length }) => sum + length, 0);

describe.each(KINDS)("openPlainLayer() of a blob that is %s", (kind) => {
  let blob: SampleBlob;
  const indexes = memoryIndexes();
  beforeAll(async () => {
    blob = blobs[kind];
    await (await openPlainLayer(memoryReader(blob), { diffID: blob.diffID, indexes }))[Symbol.asyncDispose]();
  });

  it("has the tar's entries, and every byte of it where it is, after the blob was read once", async () => {
    const reader = memoryReader(blob);
    await using layer = await openPlainLayer(reader, { diffID: blob.diffID, indexes: memoryIndexes() });
    expect(reader.reads).toEqual([{ offset: 0, length: blob.bytes.length }]);
    expect(layer.diffID).toBe(blob.diffID);
    expect(layer.entries).toEqual(entriesOf(blob.tar));
    expect((await collect(layer.readContents(0, blob.tar.length))).equals(blob.tar)).toBe(true);
  });

  it("reads nothing to open it with its index, and has the same files", async () => {
    const reader = memoryReader(blob);
    await using layer = await openPlainLayer(reader, { diffID: blob.diffID, indexes });
    expect(reader.reads).toEqual([]);
    expect(layer.entries).toEqual(entriesOf(blob.tar));
    for (const { path, bytes } of FILES) expect((await readFile(layer, path)).equals(bytes)).toBe(true);
  });

  it("gives any range (property)", async () => {
    const memory = createChunkMemory(1);
    await using layer = await openPlainLayer(memoryReader(blob), { diffID: blob.diffID, indexes, memory });
    const { tar } = blob;
    const range = fc.tuple(fc.nat({ max: tar.length }), fc.nat({ max: tar.length }), fc.nat({ max: 100_000 }));
    await fc.assert(
      fc.asyncProperty(range, async ([one, other, length]) => {
        const [start, end] = one < other ? [one, Math.min(other, one + length)] : [other, other];
        expect((await collect(layer.readContents(start, end - start))).equals(tar.subarray(start, end))).toBe(true);
      }),
      { numRuns: 12 },
    );
  });

  it("fetches what was damaged in the cache once more", async () => {
    const reader = memoryReader(blob);
    await using layer = await openPlainLayer(reader, { diffID: blob.diffID, indexes });
    reader.bytes = damaged(blob.bytes);
    reader.onDrop = () => (reader.bytes = blob.bytes);
    expect((await readFile(layer, "dir/file-4")).equals(FILES[4]!.bytes)).toBe(true);
    expect(reader.drops.length).toBe(1);
  });

  it("never gives out what is wrong twice", async () => {
    const reader = memoryReader(blob);
    await using layer = await openPlainLayer(reader, { diffID: blob.diffID, indexes });
    for (const bytes of [damaged(blob.bytes), Buffer.alloc(blob.bytes.length)]) {
      reader.bytes = bytes;
      await expect(lengthOf(layer, "dir/file-4")).rejects.toMatchObject({ code: "chunk_mismatch" });
    }
    reader.bytes = blob.bytes;
    expect((await readFile(layer, "dir/file-4")).equals(FILES[4]!.bytes)).toBe(true);
  });
});

/** Wrong here and there: in every span. */
function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = 5000; at < copy.length; at += 10_000) copy[at]! ^= 0x10;
  return copy;
}

describe("openPlainLayer()", () => {
  const open = async (blob: SampleBlob, indexes = memoryIndexes()): Promise<ReturnType<typeof memoryReader>> => {
    await (await openPlainLayer(memoryReader(blob), { diffID: blob.diffID, indexes }))[Symbol.asyncDispose]();
    return memoryReader(blob);
  };

  it("brings a small file with the span that it is in", async () => {
    const indexes = memoryIndexes();
    const reader = await open(blobs.gzip, indexes);
    await using layer = await openPlainLayer(reader, { diffID: blobs.gzip.diffID, indexes });
    await readFile(layer, "dir/file-7");
    expect(reader.reads.length).toBe(1);
    expect(readBytes(reader.reads)).toBeLessThan(blobs.gzip.bytes.length / 1.8);
    // Its neighbour is there already.
    const { contentOffset } = layer.entries.find(({ path }) => path === "dir/file-7")!;
    expect(Buffer.from(layer.readContentsNow?.(contentOffset, 100) ?? []).equals(FILES[7]!.bytes)).toBe(true);
    expect(layer.readContentsNow?.(0, 512)).toBeUndefined();
    expect(reader.reads.length).toBe(1);
  });

  it("unpacks a span once for those who read it at the same time", async () => {
    const indexes = memoryIndexes();
    const reader = await open(blobs.gzip, indexes);
    await using layer = await openPlainLayer(reader, { diffID: blobs.gzip.diffID, indexes });
    const { contentOffset } = layer.entries.find(({ path }) => path === "dir/file-7")!;
    await Promise.all(Array.from({ length: 20 }, () => collect(layer.readContents(contentOffset, 100))));
    expect(reader.reads.length).toBe(1);
  });

  it("goes through a zstd frame once for a reader that goes forward", async () => {
    const { zstd } = blobs;
    const indexes = memoryIndexes();
    const reader = await open(zstd, indexes);
    const memory = createChunkMemory(1);
    await using layer = await openPlainLayer(reader, { diffID: zstd.diffID, indexes, memory });
    for (let at = 0; at < zstd.tar.length; at += 2 ** 21)
      await collect(layer.readContents(at, Math.min(100, zstd.tar.length - at)));
    expect(readBytes(reader.reads)).toBe(zstd.bytes.length);
  });

  it("makes an index that is damaged, of another version or of another layer anew", async () => {
    const { gzip, members } = blobs;
    const other = memoryIndexes();
    await open(members, other);
    const right = memoryIndexes();
    await open(gzip, right);
    const index = right.kept.get(gzip.descriptor.digest)!;
    const flipped = Uint8Array.from(index);
    flipped[1000]! ^= 1;
    const wrong = [flipped, index.subarray(0, 3000), new Uint8Array(), other.kept.get(members.descriptor.digest)!];
    for (const bytes of wrong) {
      const indexes = memoryIndexes();
      indexes.kept.set(gzip.descriptor.digest, bytes);
      const reader = memoryReader(gzip);
      await using layer = await openPlainLayer(reader, { diffID: gzip.diffID, indexes });
      expect(readBytes(reader.reads)).toBe(gzip.bytes.length);
      expect((await readFile(layer, "dir/file-3")).equals(FILES[3]!.bytes)).toBe(true);
      expect(indexes.kept.get(gzip.descriptor.digest)).not.toEqual(bytes);
    }
  });

  it("empties a cache that is damaged before it says that the layer is", async () => {
    const { gzip } = blobs;
    const reader = memoryReader(gzip);
    reader.bytes = damaged(gzip.bytes);
    reader.onDrop = () => (reader.bytes = gzip.bytes);
    await using layer = await openPlainLayer(reader, { diffID: gzip.diffID, indexes: memoryIndexes() });
    expect(reader.drops).toEqual([{ offset: 0, length: gzip.bytes.length }]);
    expect((await readFile(layer, "dir/file-3")).equals(FILES[3]!.bytes)).toBe(true);
    reader.bytes = damaged(gzip.bytes);
    reader.onDrop = () => undefined;
    const again = openPlainLayer(reader, { diffID: gzip.diffID, indexes: memoryIndexes() });
    await expect(again).rejects.toMatchObject({ code: "digest_mismatch" });
  });

  it("refuses a layer whose tar is not that of its diffID, and does not fetch it twice", async () => {
    const { gzip, plain } = blobs;
    for (const blob of [gzip, plain]) {
      const reader = memoryReader(blob);
      const indexes = memoryIndexes();
      const opened = openPlainLayer(reader, { diffID: digestOf(Buffer.from("another")), indexes });
      await expect(opened).rejects.toMatchObject({ code: "digest_mismatch" });
      expect(reader.drops).toEqual([]);
      expect(indexes.kept.size).toBe(0);
    }
  });

  it("refuses a layer that is no tar", async () => {
    const noise = Buffer.alloc(5000, 0x41);
    for (const blob of [blobOf(noise, noise), blobOf(noise, gzipSync(noise))]) {
      const opened = openPlainLayer(memoryReader(blob), { diffID: blob.diffID, indexes: memoryIndexes() });
      await expect(opened).rejects.toMatchObject({ code: "tar_invalid" });
    }
  });

  it("opens a layer of nothing", async () => {
    const nothing = Buffer.alloc(0);
    for (const blob of [
      blobOf(nothing, nothing),
      blobOf(nothing, gzipSync(nothing)),
      blobOf(Buffer.alloc(1024), gzipSync(Buffer.alloc(1024))),
    ]) {
      await using layer = await openPlainLayer(memoryReader(blob), { diffID: blob.diffID, indexes: memoryIndexes() });
      expect(layer.entries).toEqual([]);
      expect(await collect(layer.readContents(0, 0))).toEqual(Buffer.alloc(0));
    }
  });

  it("ends a read with the reader's error, and reads on when it works again", async () => {
    const indexes = memoryIndexes();
    const reader = await open(blobs.gzip, indexes);
    await using layer = await openPlainLayer(reader, { diffID: blobs.gzip.diffID, indexes });
    const { read } = reader;
    reader.read = () => {
      throw new RangeError("the registry is gone");
    };
    await expect(lengthOf(layer, "dir/file-4")).rejects.toThrow("the registry is gone");
    reader.read = read;
    expect((await readFile(layer, "dir/file-4")).equals(FILES[4]!.bytes)).toBe(true);
  });

  it("refuses a range outside of the tar, and every read when it is closed", async () => {
    const { gzip } = blobs;
    const layer = await openPlainLayer(memoryReader(gzip), { diffID: gzip.diffID, indexes: memoryIndexes() });
    for (const [offset, length] of [
      [-1, 1],
      [0, -1],
      [gzip.tar.length, 1],
      [Number.NaN, 1],
    ] as const)
      await expect(collect(layer.readContents(offset, length))).rejects.toMatchObject({ code: "layer_invalid" });
    const reading = layer.readContents(0, gzip.tar.length);
    await reading[Symbol.asyncIterator]().next();
    await layer[Symbol.asyncDispose]();
    await expect(collect(reading)).rejects.toMatchObject({ code: "closed" });
    await expect(collect(layer.readContents(0, 1))).rejects.toMatchObject({ code: "closed" });
    expect(layer.readContentsNow?.(0, 1)).toBeUndefined();
  });

  it("ends with the signal's reason, and another reader of the same span goes on", async () => {
    const { gzip } = blobs;
    const reason = new Error("enough");
    const aborted = { diffID: gzip.diffID, indexes: memoryIndexes(), signal: AbortSignal.abort(reason) };
    await expect(openPlainLayer(memoryReader(gzip), aborted)).rejects.toBe(reason);
    const making = new AbortController();
    const reader = memoryReader(gzip);
    const opening = openPlainLayer(reader, { ...aborted, signal: making.signal });
    setTimeout(() => making.abort(reason), 5);
    await expect(opening).rejects.toBe(reason);
    await using layer = await openPlainLayer(reader, { diffID: gzip.diffID, indexes: memoryIndexes() });
    const controller = new AbortController();
    const first = collect(layer.readContents(0, 100, { signal: controller.signal }));
    const second = collect(layer.readContents(0, 100));
    controller.abort(reason);
    await expect(first).rejects.toBe(reason);
    expect((await second).equals(gzip.tar.subarray(0, 100))).toBe(true);
  });
});

describe("openPlainIndexStore()", () => {
  const scratch = scratchDirectory();

  it("keeps indexes for other processes, each whole", async () => {
    const { gzip, plain } = blobs;
    const directory = join(scratch(), "indexes");
    const store = await openPlainIndexStore(directory);
    expect(await store.get(gzip.descriptor.digest)).toBeUndefined();
    await Promise.all([1, 2, 3].map((byte) => store.put(gzip.descriptor.digest, new Uint8Array(100_000).fill(byte))));
    const other = await openPlainIndexStore(directory);
    expect(new Set(await other.get(gzip.descriptor.digest)).size).toBe(1);
    expect(await other.get(plain.descriptor.digest)).toBeUndefined();
  });

  it("serves a layer that it cannot keep the index of", async () => {
    const { gzip } = blobs;
    const directory = join(scratch(), "indexes");
    const indexes = await openPlainIndexStore(directory);
    await rm(directory, { recursive: true });
    await writeFile(directory, "in its place");
    await expect(indexes.put(gzip.descriptor.digest, new Uint8Array(1))).rejects.toMatchObject({
      code: "cache_unusable",
    });
    await rm(directory);
    await using layer = await openPlainLayer(memoryReader(gzip), { diffID: gzip.diffID, indexes });
    expect((await readFile(layer, "dir/file-3")).equals(FILES[3]!.bytes)).toBe(true);
    await expect(openPlainIndexStore("/dev/null/indexes")).rejects.toMatchObject({ code: "cache_unusable" });
  });

  it("does nothing after an abort", async () => {
    const store = await openPlainIndexStore(scratch());
    const reason = new Error("enough");
    const call = { signal: AbortSignal.abort(reason) };
    const { digest } = blobs.gzip.descriptor;
    await expect(store.get(digest, call)).rejects.toBe(reason);
    await expect(store.put(digest, new Uint8Array(1), call)).rejects.toBe(reason);
    await expect(openPlainIndexStore(scratch(), call)).rejects.toBe(reason);
    expect(await store.get(digest)).toBeUndefined();
  });
});
