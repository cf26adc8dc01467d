import { gzipSync } from "node:zlib";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { openTocLayer } from "../src/node/toc/chunk-source.js";
import { readToc } from "../src/node/toc/reader.js";
import type { Layer } from "../src/layer.js";
import { layerFromToc } from "../src/toc/layer.js";
import { memoryBlob, type MemoryBlob, sha256, stargzBlob } from "./toc-blob.js";
import { bytesOf } from "./tree-listing.js";

const FIRST = Buffer.from("the first file".repeat(100));
const BIG = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) >> 5));
const LAST = Buffer.from("last");

/** Three files, the second in three chunks, each member followed by what a tar has there. */
function blobOf(change: (data: Buffer[]) => void = () => undefined): MemoryBlob {
  const bigs = [BIG.subarray(0, 131_072), BIG.subarray(131_072, 262_144), BIG.subarray(262_144)];
  const data = [FIRST, ...bigs, LAST];
  const stored = data.map((bytes) => Buffer.concat([bytes, Buffer.alloc(700)]));
  const offsets = offsetsOf(stored);
  change(stored);
  const entry = (index: number): object => ({ offset: offsets[index], chunkDigest: sha256(data[index] ?? "") });
  const entries = [
    { name: "first", type: "reg", size: FIRST.length, ...entry(0) },
    { name: "big", type: "reg", size: BIG.length, chunkSize: 131_072, ...entry(1) },
    { name: "big", type: "chunk", chunkOffset: 131_072, chunkSize: 131_072, ...entry(2) },
    { name: "big", type: "chunk", chunkOffset: 262_144, ...entry(3) },
    { name: "last", type: "reg", size: LAST.length, ...entry(4) },
  ];
  return stargzBlob({ version: 1, entries }, { data: stored });
}

function offsetsOf(stored: readonly Buffer[]): number[] {
  let offset = 0;
  return stored.map((bytes) => {
    const at = offset;
    offset += gzipLength(bytes);
    return at;
  });
}

const gzipLength = (bytes: Buffer): number => gzipSync(bytes).length;

const WHOLE = Buffer.concat([FIRST, BIG, LAST]);

async function open(blob: MemoryBlob, signal?: AbortSignal): Promise<Layer> {
  const toc = await readToc(blob, blob.descriptor);
  if (toc === undefined) throw new Error("no table");
  blob.requests.splice(0);
  return openTocLayer(blob, blob.descriptor, toc, { diffID: blob.descriptor.digest, signal });
}

describe("openTocLayer()", () => {
  it("reads any range", async () => {
    await using layer = await open(blobOf());
    await fc.assert(
      fc.asyncProperty(fc.nat(WHOLE.length), fc.nat(WHOLE.length), async (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        expect((await bytesOf(layer.readContents(start, end - start))).equals(WHOLE.subarray(start, end))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it("fetches neighbours in one request, and nothing of the others", async () => {
    const blob = blobOf();
    await using layer = await open(blob);
    await bytesOf(layer.readContents(0, WHOLE.length));
    expect(blob.requests).toHaveLength(1);
    blob.requests.splice(0);
    await bytesOf(layer.readContents(FIRST.length + 140_000, 10));
    expect(blob.requests).toHaveLength(1);
    expect(blob.requests[0]?.length).toBeLessThan(150_000);
  });

  it("reads a chunk once for a reader that goes forward in small steps", async () => {
    const blob = blobOf();
    await using layer = await open(blob);
    for (let at = 0; at < 100_000; at += 10_000) await bytesOf(layer.readContents(FIRST.length + at, 10_000));
    expect(blob.requests).toHaveLength(1);
  });

  it("gives nothing of a chunk that is not the table's", async () => {
    const blob = blobOf((data) => {
      const [, , second] = data;
      if (second !== undefined) second[131_071] = (second[131_071] ?? 0) ^ 1;
    });
    await using layer = await open(blob);
    const given: number[] = [];
    const reading = (async () => {
      for await (const piece of layer.readContents(FIRST.length, BIG.length)) given.push(piece.length);
    })();
    await expect(reading).rejects.toMatchObject({
      code: expect.stringMatching(/digest_mismatch|compression_invalid/) as string,
    });
    expect(given).toEqual([131_072]);
  });

  it("refuses a member that gives less than the table says", async () => {
    const entries = [{ name: "f", type: "reg", size: 100, offset: 0, chunkDigest: sha256(Buffer.alloc(100)) }];
    const blob = stargzBlob({ version: 1, entries }, { data: [Buffer.alloc(40)] });
    await using layer = await open(blob);
    await expect(bytesOf(layer.readContents(0, 100))).rejects.toMatchObject({ code: "compression_invalid" });
  });

  it("refuses a source that ends early", async () => {
    const blob = blobOf();
    const toc = await readToc(blob, blob.descriptor);
    if (toc === undefined) throw new Error("no table");
    const short = {
      fetchRange: () =>
        (async function* () {
          yield Buffer.from([0x1f, 0x8b]);
        })(),
    };
    await using layer = openTocLayer(short, blob.descriptor, toc, { diffID: blob.descriptor.digest });
    await expect(bytesOf(layer.readContents(0, 10))).rejects.toMatchObject({ code: "size_mismatch" });
  });

  it.each([
    [-1, 1],
    [0, WHOLE.length + 1],
    [Number.NaN, 1],
  ])("refuses a range outside of the contents: %d, %d", async (offset, length) => {
    await using layer = await open(blobOf());
    await expect(bytesOf(layer.readContents(offset, length))).rejects.toMatchObject({ code: "layer_invalid" });
  });

  it("rejects with the reason of either signal", async () => {
    const reason = new Error("enough");
    await using layer = await open(blobOf());
    await expect(bytesOf(layer.readContents(0, 1, { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    const controller = new AbortController();
    await using other = await open(blobOf(), controller.signal);
    controller.abort(reason);
    await expect(bytesOf(other.readContents(0, 1))).rejects.toBe(reason);
  });

  it("throws once it is closed", async () => {
    const layer = await open(blobOf());
    await layer[Symbol.asyncDispose]();
    await expect(bytesOf(layer.readContents(0, 1))).rejects.toThrow("closed");
  });
});

describe("layerFromToc()", () => {
  it("gives chunks of zeros without asking the source", async () => {
    const zero = (offset: number, size: number): object => ({ contentOffset: offset, size, isZeros: true });
    const data = { contentOffset: 1_000_000, size: 3, isZeros: false };
    const toc = {
      entries: [],
      contentsBytes: 2_000_003,
      chunks: [zero(0, 1_000_000), data, zero(1_000_003, 1_000_000)],
    };
    const asked: number[][] = [];
    const source = {
      async *readChunks(first: number, count: number) {
        asked.push([first, count]);
        yield Buffer.from("abc");
      },
    };
    const { digest: diffID } = memoryBlob(Buffer.alloc(0)).descriptor;
    const layer = layerFromToc(source, toc as never, { diffID });
    const bytes = await bytesOf(layer.readContents(10, 2_000_000 - 20));
    expect(bytes.length).toBe(2_000_000 - 20);
    expect(bytes.indexOf("abc")).toBe(999_990);
    expect(bytes.filter((byte) => byte !== 0)).toHaveLength(3);
    expect(asked).toEqual([[1, 1]]);
  });
});
