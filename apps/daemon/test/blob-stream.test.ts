import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { openImageStore } from "@lamella/image-store";
import type { ContentStore, OpenBlob } from "@lamella/image-store";
import { digestOf, OCI_LAYER_TAR } from "@lamella/refs";
import fc from "fast-check";
import PQueue from "p-queue";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { streamBlob } from "../src/blob-stream.js";
import type { BlobPart } from "../src/blob-stream.js";
import { temporaryDirectory } from "./fixture.js";

const BYTES = randomBytes((1 << 20) + 12_345);
const DIGEST = digestOf(BYTES);
const MISSING = digestOf(Buffer.from("missing"));

let resources: AsyncDisposable[] = [];
let content: ContentStore;
beforeAll(async () => {
  const directory = await temporaryDirectory();
  const store = await openImageStore(directory.path);
  resources = [store, directory];
  content = store.content;
  await content.push(
    { mediaType: OCI_LAYER_TAR, digest: DIGEST, size: BYTES.length },
    (async function* () {
      yield BYTES;
    })(),
  );
});
afterAll(async () => {
  for (const resource of resources) await resource[Symbol.asyncDispose]();
});

function streamPart(part: Partial<BlobPart> = {}): ReadableStream<Uint8Array> {
  const turns = new PQueue({ concurrency: 2 });
  return streamBlob({ content, digest: DIGEST, offset: 0, length: BYTES.length, turns, ...part });
}

/** Reads all of it into one buffer, which it brings again and again. */
async function readInto(stream: ReadableStream<Uint8Array>, bufferBytes: number): Promise<Buffer> {
  const reader = stream.getReader({ mode: "byob" });
  const chunks: Buffer[] = [];
  let buffer: ArrayBufferLike = new ArrayBuffer(bufferBytes);
  for (;;) {
    const view: Uint8Array = new Uint8Array(buffer);
    const { done, value } = await reader.read(view);
    if (done) return Buffer.concat(chunks);
    chunks.push(Buffer.from(value));
    buffer = value.buffer;
  }
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A content store that counts what is open, and whose reads can be replaced. */
function watchedContent(read?: (blob: OpenBlob, ...how: Parameters<OpenBlob["read"]>) => Promise<number>): {
  readonly content: ContentStore;
  readonly counts: { opened: number; closed: number; reading: number; closedWhileReading: number };
} {
  const counts = { opened: 0, closed: 0, reading: 0, closedWhileReading: 0 };
  const open: ContentStore["open"] = async (digest, call) => {
    const blob = await content.open(digest, call);
    counts.opened++;
    return {
      sizeBytes: blob.sizeBytes,
      async read(...how) {
        counts.reading++;
        try {
          return await (read?.(blob, ...how) ?? blob.read(...how));
        } finally {
          counts.reading--;
        }
      },
      async [Symbol.asyncDispose]() {
        counts.closed++;
        if (counts.reading > 0) counts.closedWhileReading++;
        await blob[Symbol.asyncDispose]();
      },
    };
  };
  return { content: { ...content, open }, counts };
}

describe("streamBlob()", () => {
  it("gives any part, in buffers of any size", async () => {
    const part = fc.tuple(fc.nat(BYTES.length), fc.nat(BYTES.length), fc.integer({ min: 1, max: 1 << 21 }));
    await fc.assert(
      fc.asyncProperty(part, async ([one, other, bufferBytes]) => {
        const [start, end] = [Math.min(one, other), Math.max(one, other)];
        // with buffers of a byte the whole would take minutes
        const stop = Math.min(end, start + 200 * bufferBytes);
        const read = await readInto(streamPart({ offset: start, length: stop - start }), bufferBytes);
        expect(read.equals(BYTES.subarray(start, stop))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it("gives all of it to readers without buffers too, also of nothing", async () => {
    expect((await readAll(streamPart())).equals(BYTES)).toBe(true);
    expect((await readAll(streamPart({ offset: BYTES.length - 5, length: 5 }))).equals(BYTES.subarray(-5))).toBe(true);
    expect(await readAll(streamPart({ length: 0 }))).toHaveLength(0);
    expect(await readInto(streamPart({ length: 0 }), 10)).toHaveLength(0);
  });

  it("opens nothing before it is read, and closes when all is read", async () => {
    const watched = watchedContent();
    const stream = streamPart({ content: watched.content });
    await sleep(5);
    expect(watched.counts.opened).toBe(0);
    await readInto(stream, 1 << 18);
    await expect.poll(() => watched.counts).toMatchObject({ opened: 1, closed: 1 });
  });

  it("is closed by whoever leaves it, though not under a read", async () => {
    let go = (): void => {};
    const held = new Promise<void>((resolve) => (go = resolve));
    const watched = watchedContent(async (blob, ...how) => {
      await held;
      return blob.read(...how);
    });
    const reader = streamPart({ content: watched.content }).getReader({ mode: "byob" });
    const reading = reader.read(new Uint8Array(1000));
    await expect.poll(() => watched.counts.reading).toBe(1);
    const cancelled = reader.cancel();
    expect(await reading).toEqual({ done: true, value: undefined });
    await sleep(5);
    expect(watched.counts.closed).toBe(0);
    go();
    await cancelled;
    expect(watched.counts).toMatchObject({ opened: 1, closed: 1, reading: 0, closedWhileReading: 0 });
  });

  it("does not open the blob for who has left before its turn", async () => {
    const watched = watchedContent();
    const turns = new PQueue({ concurrency: 1 });
    let go = (): void => {};
    void turns.add(() => new Promise<void>((resolve) => (go = resolve)));
    const reader = streamPart({ content: watched.content, turns }).getReader({ mode: "byob" });
    void reader.read(new Uint8Array(1000));
    await sleep(5);
    const cancelled = reader.cancel();
    go();
    await cancelled;
    expect(watched.counts.opened).toBe(0);
  });

  it("is closed by a read that fails, and passes on why", async () => {
    const failure = new Error("EIO");
    let reads = 0;
    const watched = watchedContent(async (blob, ...how) => {
      if (++reads > 2) throw failure;
      return blob.read(...how);
    });
    await expect(readInto(streamPart({ content: watched.content }), 1000)).rejects.toBe(failure);
    expect(watched.counts).toMatchObject({ opened: 1, closed: 1 });
  });

  it("ends early where the blob does, for its reader to notice", async () => {
    const read = await readInto(streamPart({ offset: BYTES.length - 10, length: 20 }), 1000);
    expect(read.equals(BYTES.subarray(-10))).toBe(true);
  });

  it("says that a blob is not there", async () => {
    await expect(readAll(streamPart({ digest: MISSING }))).rejects.toMatchObject({ code: "not_found" });
  });

  it("rejects with the reason of its signal, before the first read and between two", async () => {
    const reason = new Error("enough");
    await expect(readAll(streamPart({ signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    const stop = new AbortController();
    const watched = watchedContent();
    const reader = streamPart({ content: watched.content, signal: stop.signal }).getReader({ mode: "byob" });
    await reader.read(new Uint8Array(10));
    stop.abort(reason);
    await expect(reader.read(new Uint8Array(10))).rejects.toBe(reason);
    expect(watched.counts).toMatchObject({ opened: 1, closed: 1 });
  });
});
