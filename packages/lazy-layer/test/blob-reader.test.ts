import { setTimeout as sleep } from "node:timers/promises";

import { type BlobRange, digestOf } from "@lamella/refs";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";

import { OpenBlob } from "../src/blob/open-blob.js";
import type { BlobCacheOptions } from "../src/cache/blob-cache.js";
import { openBlobCache } from "../src/index.js";
import { createScheduler } from "../src/scheduler.js";
import { bytesOf, madeBytes, memorySource, type MemorySource } from "./memory-source.js";
import { scratchDirectory } from "./scratch.js";

const MIB = 2 ** 20;
const directory = scratchDirectory();
const opened: OpenBlob[] = [];
afterEach(async () => {
  for (const blob of opened.splice(0)) await blob.close();
});

async function open(source: MemorySource, options: { timeoutMs?: number } & BlobCacheOptions = {}): Promise<OpenBlob> {
  const { timeoutMs = 10_000, ...cache } = options;
  const cached = await (await openBlobCache(directory(), cache)).blob(source.descriptor);
  const blob = new OpenBlob({ source, descriptor: source.descriptor, cached, scheduler: createScheduler(), timeoutMs });
  opened.push(blob);
  return blob;
}

const read = async (blob: OpenBlob, offset: number, length: number): Promise<Buffer> =>
  bytesOf(blob.read(offset, length));

describe("reading a blob", () => {
  it("gives exactly the bytes of any range, in any order, at the same time", async () => {
    const bytes = madeBytes(700_000);
    const ranges = fc.array(
      fc.tuple(fc.nat(bytes.length), fc.nat(200_000)).map(([offset, length]) => ({
        offset,
        length: Math.min(length, bytes.length - offset),
      })),
      { minLength: 1, maxLength: 12 },
    );
    let round = 0;
    await fc.assert(
      fc.asyncProperty(ranges, fc.boolean(), async (wanted, atOnce) => {
        // another digest each time: nothing is there from the last round
        const source = memorySource(Buffer.concat([bytes, Buffer.from(`${round++}`)]), { chunkBytes: 10_000 });
        const blob = await open(source);
        const check = async ({ offset, length }: { offset: number; length: number }): Promise<void> => {
          expect((await read(blob, offset, length)).equals(bytes.subarray(offset, offset + length))).toBe(true);
        };
        if (atOnce) await Promise.all(wanted.map(check));
        else for (const range of wanted) await check(range);
        await blob.settled();
        const before = source.requests.length;
        for (const range of wanted) await check(range);
        const isWanted = (at: BlobRange): boolean =>
          wanted.some(
            ({ offset, length }) => length > 0 && offset < at.offset + at.length && at.offset < offset + length,
          );
        expect(source.requests.slice(before).filter(isWanted)).toEqual([]);
        await blob.close();
      }),
      { numRuns: 40 },
    );
  });

  it("asks once for what is wanted by many at the same time", async () => {
    const source = memorySource(madeBytes(MIB));
    const blob = await open(source);
    const all = await Promise.all(Array.from({ length: 20 }, () => read(blob, 1000, 500_000)));
    expect(new Set(all.map((bytes) => digestOf(bytes))).size).toBe(1);
    expect(source.requests).toHaveLength(1);
  });

  it("asks for neighbours with one request, and fetches a small gap again for that", async () => {
    const source = memorySource(madeBytes(8 * MIB));
    const blob = await open(source);
    await read(blob, 2 * MIB, 100);
    await blob.settled();
    expect(source.requests).toEqual([{ offset: 2 * MIB, length: 65_536 }]);
    await read(blob, MIB, 2 * MIB);
    expect(source.requests[1]).toEqual({ offset: MIB, length: 2 * MIB });
  });

  it("reads ahead for who goes forwards, further each time, and for nobody else", async () => {
    const source = memorySource(madeBytes(40 * MIB));
    const blob = await open(source);
    for (const offset of [30 * MIB, 10 * MIB, 20 * MIB]) await read(blob, offset, 1000);
    await blob.settled();
    expect(source.requests.map(({ length }) => length)).toEqual([65_536, 65_536, 65_536]);
    for (let offset = 0; offset < 20 * MIB; offset += 50_000) await read(blob, offset, 50_000);
    await blob.settled();
    const lengths = source.requests.slice(3).map(({ length }) => length);
    expect(Math.max(...lengths)).toBe(4 * MIB);
    expect(lengths.length).toBeLessThan(20);
  });

  it("has a table at the end come with the first request there", async () => {
    const source = memorySource(madeBytes(32 * MIB));
    const blob = await open(source);
    await read(blob, 32 * MIB - 65_536, 65_536);
    await read(blob, 32 * MIB - 100_000, 100_000);
    expect(source.requests).toEqual([{ offset: 32 * MIB - 128 * 1024, length: 128 * 1024 }]);
  });

  it("finds what another reader has fetched, in its life or in an earlier one", async () => {
    const source = memorySource(madeBytes(MIB));
    const [one, other] = [await open(source), await open(source)];
    await read(one, 0, MIB);
    await one.settled();
    await read(other, 0, MIB);
    await read(await open(source), 5000, MIB - 5000);
    expect(source.servedBytes).toBe(MIB);
  });

  it("takes the whole stream once from a registry without ranges", async () => {
    const bytes = madeBytes(10 * MIB);
    const source = memorySource(bytes);
    source.takesRanges = false;
    const blob = await open(source);
    const [end, start] = await Promise.all([read(blob, 9 * MIB, MIB), read(blob, 100, 1000)]);
    expect(end.equals(bytes.subarray(9 * MIB))).toBe(true);
    expect(start.equals(bytes.subarray(100, 1100))).toBe(true);
    await blob.close();
    expect((await read(await open(source), 0, 10 * MIB)).equals(bytes)).toBe(true);
    expect(source.streams).toBe(1);
  });

  it("takes the stream for all who waited for the same range of a registry without ranges", async () => {
    const bytes = madeBytes(2 * MIB);
    const source = memorySource(bytes);
    // oxlint-disable-next-line require-yield
    source.fetchRange = async function* () {
      await sleep(50);
      throw Object.assign(new Error("it answers the whole"), { code: "range_unusable" });
    };
    const blob = await open(source);
    const readers = await Promise.all(Array.from({ length: 4 }, () => read(blob, MIB, 1000)));
    for (const reader of readers) expect(reader.equals(bytes.subarray(MIB, MIB + 1000))).toBe(true);
    expect(source.streams).toBe(1);
  });

  it("reads on from a registry without ranges when nothing can be kept", async () => {
    const bytes = madeBytes(9 * MIB);
    const source = memorySource(bytes);
    source.takesRanges = false;
    const blob = await open(source, { quotaBytes: 1000 });
    expect((await read(blob, 5 * MIB, 4 * MIB)).equals(bytes.subarray(5 * MIB))).toBe(true);
    expect((await read(blob, 0, MIB)).equals(bytes.subarray(0, MIB))).toBe(true);
    await blob.close();
  });

  it("keeps what came before a failure, and goes on from there", async () => {
    const source = memorySource(madeBytes(2 * MIB));
    const served = source.fetchRange.bind(source);
    source.fetchRange = async function* (descriptor, range, options) {
      let sent = 0;
      for await (const chunk of served(descriptor, range, options)) {
        yield chunk;
        sent += chunk.length;
        if (sent >= MIB && source.requests.length === 1) throw new Error("connection reset");
      }
    };
    const blob = await open(source);
    await expect(read(blob, 0, 2 * MIB)).rejects.toMatchObject({ code: "unavailable", message: /connection reset/ });
    await blob.settled();
    expect(blob.lastError).toBeInstanceOf(Error);
    await read(blob, 0, 2 * MIB);
    expect(source.requests.at(-1)?.offset).toBe(MIB);
    expect(blob.lastError).toBeUndefined();
  });

  it("ends in time when the registry hangs, whoever waits for a place too", async () => {
    const source = memorySource(madeBytes(4 * MIB));
    const hang = (signal?: AbortSignal): Promise<void> =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    source.before = (_range, { signal }) => hang(signal);
    const blob = await open(source, { timeoutMs: 200 });
    const started = performance.now();
    const offsets = Array.from({ length: 30 }, (_, index) => index * 100_000);
    const results = await Promise.allSettled(offsets.map((offset) => read(blob, offset, 1000)));
    expect(results.map((result) => (result.status === "rejected" ? result.reason.code : "read"))).toEqual(
      offsets.map(() => "timeout"),
    );
    expect(performance.now() - started).toBeLessThan(2000);
    await blob.close();
  });

  it("ends in time when bytes come in drops", async () => {
    const source = memorySource(madeBytes(MIB), { chunkBytes: 10 });
    const served = source.fetchRange.bind(source);
    source.fetchRange = async function* (descriptor, range, options) {
      for await (const chunk of served(descriptor, range, options)) {
        yield chunk;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const blob = await open(source, { timeoutMs: 200 });
    await expect(read(blob, 0, 60_000)).rejects.toMatchObject({ code: "timeout" });
    await blob.close();
  });

  it("refuses what is outside of the blob, and a source that gives less", async () => {
    const source = memorySource(madeBytes(1000));
    const blob = await open(source);
    for (const [offset, length] of [
      [-1, 1],
      [0, 1001],
      [0.5, 1],
      [1000, 1],
    ] as const)
      await expect(read(blob, offset, length)).rejects.toBeInstanceOf(RangeError);
    expect(await read(blob, 1000, 0)).toHaveLength(0);
    source.fetchRange = async function* () {
      yield new Uint8Array(999);
    };
    await expect(read(blob, 0, 1000)).rejects.toMatchObject({ code: "unavailable" });
  });

  it("rejects with a signal's reason, before and within; who waits for the same goes on", async () => {
    const bytes = madeBytes(MIB);
    const source = memorySource(bytes);
    let release: () => void = () => {};
    source.before = () => new Promise((resolve) => (release = resolve));
    const blob = await open(source);
    const reason = new Error("enough");
    await expect(bytesOf(blob.read(0, 10, { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    const controller = new AbortController();
    const leaving = bytesOf(blob.read(0, MIB, { signal: controller.signal }));
    const staying = read(blob, 0, MIB);
    await new Promise((resolve) => setTimeout(resolve, 20));
    controller.abort(reason);
    await expect(leaving).rejects.toBe(reason);
    release();
    expect((await staying).equals(bytes)).toBe(true);
    expect(source.requests).toHaveLength(1);
  });

  it("ends a request when all who waited have gone, and begins it anew for who comes then", async () => {
    const source = memorySource(madeBytes(MIB));
    const aborted: unknown[] = [];
    source.before = (_range, { signal }) =>
      source.requests.length > 1
        ? Promise.resolve()
        : new Promise((_, reject) =>
            signal?.addEventListener("abort", () => {
              aborted.push(signal.reason);
              reject(signal.reason);
            }),
          );
    const blob = await open(source);
    const controller = new AbortController();
    const leaving = bytesOf(blob.read(0, 1000, { signal: controller.signal }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const reason = new Error("enough");
    controller.abort(reason);
    const joining = read(blob, 0, 1000);
    await expect(leaving).rejects.toBe(reason);
    expect(await joining).toHaveLength(1000);
    expect(aborted).toEqual([reason]);
  });

  it("keeps nothing of what is dropped while it is being kept", async () => {
    const source = memorySource(madeBytes(MIB));
    const cached = await (await openBlobCache(directory())).blob(source.descriptor);
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const slow = Object.assign(Object.create(cached) as typeof cached, {
      write: async (offset: number, bytes: Uint8Array) => {
        await held;
        return cached.write(offset, bytes);
      },
      covering: (offset: number) => cached.covering(offset),
      nextAfter: (offset: number) => cached.nextAfter(offset),
      refresh: () => cached.refresh(),
      drop: (range: BlobRange) => cached.drop(range),
      close: () => cached.close(),
    });
    const { descriptor } = source;
    const blob = new OpenBlob({ source, descriptor, cached: slow, scheduler: createScheduler(), timeoutMs: 5000 });
    await read(blob, 0, MIB);
    const dropping = blob.drop(0, 10);
    release();
    await dropping;
    await blob.settled();
    expect(cached.covering(0)).toBeUndefined();
    await blob.close();
  });

  it("begins nothing when it is closed while a read looks into the cache", async () => {
    const source = memorySource(madeBytes(MIB));
    const blob = await open(source);
    const reading = read(blob, 0, 1000);
    reading.catch(() => {});
    // the read waits for its first call to the file system
    await Promise.resolve();
    await blob.close();
    await expect(reading).rejects.toMatchObject({ code: "closed" });
    expect(source.requests).toEqual([]);
  });

  it("ends what is under way when it is closed", async () => {
    const source = memorySource(madeBytes(MIB));
    source.before = (_range, { signal }) =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    const blob = await open(source);
    const reading = read(blob, 0, 1000);
    reading.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 20));
    await blob.close();
    await expect(reading).rejects.toMatchObject({ code: "closed" });
    await expect(read(blob, 0, 1000)).rejects.toMatchObject({ code: "closed" });
  });
});
