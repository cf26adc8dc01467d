import { setTimeout as sleep } from "node:timers/promises";

import type { BlobRange } from "@lamella/refs";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";

import { fetchMissing } from "../src/background-fetch.js";
import { OpenBlob } from "../src/blob/open-blob.js";
import { openBlobCache } from "../src/index.js";
import { createScheduler } from "../src/scheduler.js";
import { bytesOf, giveTogether, madeBytes, memorySource, type MemorySource } from "./memory-source.js";
import { scratchDirectory } from "./scratch.js";

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const HOLE = { every: 256 * KIB, held: 64 * KIB };
const directory = scratchDirectory();
const opened: OpenBlob[] = [];
afterEach(async () => {
  for (const blob of opened.splice(0)) await blob.close();
});

const unusable = (): Error => Object.assign(new Error("it answers the whole"), { code: "range_unusable" });

/** A blob of which pieces were read here and there; its source has forgotten what was asked. */
async function openWithHoles(source: MemorySource, timeoutMs = 10_000): Promise<OpenBlob> {
  const cached = await (await openBlobCache(directory())).blob(source.descriptor);
  const blob = new OpenBlob({ source, descriptor: source.descriptor, cached, scheduler: createScheduler(), timeoutMs });
  opened.push(blob);
  for (let offset = 0; offset < source.bytes.length; offset += HOLE.every) await bytesOf(blob.read(offset, 100));
  await blob.settled();
  source.requests.length = 0;
  return blob;
}

/** Answers several ranges once it is released. */
function heldSource(): { source: MemorySource; release: () => void } {
  let release: () => void = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const source = giveTogether(memorySource(madeBytes(4 * MIB)), async function* (ranges) {
    await held;
    yield* ranges;
  });
  return { source, release };
}

async function expectWhole(blob: OpenBlob, source: MemorySource): Promise<void> {
  expect(blob.heldBytes).toBe(source.bytes.length);
  const before = source.requests.length;
  expect((await bytesOf(blob.read(0, blob.size))).equals(source.bytes)).toBe(true);
  expect(source.requests).toHaveLength(before);
}

const sum = (ranges: readonly BlobRange[]): number => ranges.reduce((bytes, { length }) => bytes + length, 0);

describe("what is missing here and there", () => {
  it("comes sixteen ranges at a time, each once", async () => {
    const source = giveTogether(memorySource(madeBytes(8 * MIB)));
    const blob = await openWithHoles(source);
    await fetchMissing(blob, blob.size, {});
    expect(source.together.map(({ length }) => length)).toEqual([16, 16]);
    expect(sum(source.together.flat())).toBe(32 * (HOLE.every - HOLE.held));
    expect(source.requests).toEqual([]);
    await expectWhole(blob, source);
  });

  it("comes one by one from a registry that does not answer several, which is not asked for long", async () => {
    const source = giveTogether(memorySource(madeBytes(16 * MIB)), () => {
      throw unusable();
    });
    const blob = await openWithHoles(source);
    await fetchMissing(blob, blob.size, {});
    expect(source.together.length).toBeLessThan(3);
    expect(source.requests).toHaveLength(64);
    expect(blob.lastError).toBeUndefined();
    await expectWhole(blob, source);
  });

  it("is asked for together again from another source", async () => {
    const bytes = madeBytes(8 * MIB);
    const poor = giveTogether(memorySource(bytes), () => {
      throw unusable();
    });
    const blob = await openWithHoles(poor);
    await fetchMissing(blob, 4 * MIB, {});
    const rich = giveTogether(memorySource(bytes));
    blob.use(rich);
    await fetchMissing(blob, blob.size, {});
    expect(rich.together.map(({ length }) => length)).toEqual([16]);
    await expectWhole(blob, poor);
  });

  it("comes as a stream from a registry that answers no ranges at all any more", async () => {
    const source = memorySource(madeBytes(4 * MIB));
    const blob = await openWithHoles(source);
    source.takesRanges = false;
    giveTogether(source, () => {
      throw unusable();
    });
    await fetchMissing(blob, blob.size, {});
    expect(source.streams).toBe(1);
    await expectWhole(blob, source);
  });

  it("comes whole whatever a request leaves out, mixes up or breaks off", async () => {
    const whatever = fc.infiniteStream(
      fc.record({ key: fc.nat(), share: fc.double({ min: 0, max: 1, noNaN: true }), breaks: fc.nat(9) }),
    );
    let round = 0;
    await fc.assert(
      fc.asyncProperty(whatever, async (stream) => {
        // another digest each time: nothing is there from the last round
        const source = giveTogether(memorySource(madeBytes(6 * MIB, 100 + round++)), function* (ranges) {
          const mixed = ranges.map((range) => ({ range, ...stream.next().value })).sort((a, b) => a.key - b.key);
          for (const { range, share, breaks } of mixed) {
            if (breaks === 0) throw new Error("connection reset");
            if (breaks > 2) yield { ...range, length: breaks > 5 ? range.length : Math.round(range.length * share) };
          }
        });
        const blob = await openWithHoles(source);
        await fetchMissing(blob, blob.size, {});
        expect(blob.fetchedBytes).toBe(blob.size);
        await expectWhole(blob, source);
        await blob.close();
      }),
      { numRuns: 20 },
    );
  });

  it("takes nothing that was not asked for", async () => {
    const source = giveTogether(memorySource(madeBytes(4 * MIB)), (ranges) => [
      { offset: 0, length: 5 },
      ...ranges.map(({ offset, length }) => ({ offset: offset + 1, length: length - 1 })),
      ...ranges.map(({ offset, length }) => ({ offset, length: length + 3 })),
    ]);
    const blob = await openWithHoles(source);
    await fetchMissing(blob, blob.size, {});
    await expectWhole(blob, source);
  });
});

describe("who reads what comes together with others", () => {
  it("waits for it, and asks for nothing", async () => {
    const { source, release } = heldSource();
    const blob = await openWithHoles(source);
    const fetching = fetchMissing(blob, blob.size, {});
    while (source.together.length === 0) await sleep(5);
    const reading = bytesOf(blob.read(HOLE.every * 8 + HOLE.held, 1000));
    await sleep(20);
    release();
    const start = HOLE.every * 8 + HOLE.held;
    expect((await reading).equals(source.bytes.subarray(start, start + 1000))).toBe(true);
    await fetching;
    expect(source.requests).toEqual([]);
  });

  it("gets it though the fetch in the background is broken off", async () => {
    const { source, release } = heldSource();
    const blob = await openWithHoles(source);
    const controller = new AbortController();
    const reason = new Error("enough");
    const fetching = fetchMissing(blob, blob.size, { signal: controller.signal });
    while (source.together.length === 0) await sleep(5);
    const reading = bytesOf(blob.read(HOLE.held, 1000));
    controller.abort(reason);
    await expect(fetching).rejects.toBe(reason);
    release();
    expect(await reading).toHaveLength(1000);
  });

  it("does not wait for long, and for nothing once it is closed", async () => {
    const hang = (
      _ranges: readonly BlobRange[],
      { signal }: { signal?: AbortSignal | undefined },
    ): AsyncIterable<BlobRange> => ({
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
      }),
    });
    const impatient = await openWithHoles(giveTogether(memorySource(madeBytes(MIB)), hang), 100);
    await expect(fetchMissing(impatient, impatient.size, {})).rejects.toMatchObject({ code: "timeout" });

    const source = giveTogether(memorySource(madeBytes(MIB, 2)), hang);
    const blob = await openWithHoles(source);
    const fetching = fetchMissing(blob, blob.size, {});
    fetching.catch(() => {});
    while (source.together.length === 0) await sleep(5);
    await blob.close();
    await expect(fetching).rejects.toMatchObject({ code: "closed" });
  });
});
