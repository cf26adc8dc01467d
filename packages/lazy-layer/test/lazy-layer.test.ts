import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { digestOf } from "@lamella/refs";
import { describe, expect, it, onTestFinished } from "vitest";

import { createLayerResolver, openBlobCache } from "../src/index.js";
import { bytesOf, madeBytes, memorySource } from "./memory-source.js";
import { openMadeLayer, readFileOf } from "./open-made-layer.js";
import { scratchDirectory } from "./scratch.js";
import { makeLayer, type MadeLayer } from "./toc-layers.js";

const directory = scratchDirectory();
const KIB = 1024;
const MIB = 2 ** 20;

const two = (): Promise<MadeLayer> =>
  makeLayer("estargz", [
    { path: "first", content: madeBytes(300 * KIB, 1) },
    { path: "second", content: madeBytes(300 * KIB, 2) },
  ]);

describe("a lazy layer", () => {
  it("gives no files before it is verified, or said not to be", async () => {
    const made = await two();
    await using opened = await openMadeLayer(made, directory());
    const { layer } = opened;
    expect(() => layer.layer()).toThrow(expect.objectContaining({ code: "not_verified" }));
    await expect(layer.tree()).rejects.toMatchObject({ code: "not_verified" });
    expect(() => layer.verify(digestOf(Buffer.from("another")))).toThrow(
      expect.objectContaining({ code: "digest_mismatch" }),
    );
    expect(() => layer.layer()).toThrow(expect.objectContaining({ code: "not_verified" }));
    layer.verify(made.tocDigest);
    await using tree = await layer.tree();
    expect((await readFileOf(tree, "first")).equals(madeBytes(300 * KIB, 1))).toBe(true);
  });

  it("is the same for all who resolve it from one source, each of whom verifies for himself", async () => {
    const made = await two();
    await using opened = await openMadeLayer(made, directory());
    const requests = opened.source.requests.length;
    const again = await opened.resolver.resolve(opened.source, opened.source.descriptor, { diffID: made.diffID });
    expect(opened.source.requests).toHaveLength(requests);
    opened.layer.skipVerify();
    expect(() => again.layer()).toThrow(expect.objectContaining({ code: "not_verified" }));
    again.skipVerify();
    await using tree = await again.tree();
    await opened.layer.done();
    expect(() => opened.layer.layer()).toThrow(expect.objectContaining({ code: "closed" }));
    expect((await readFileOf(tree, "second")).equals(madeBytes(300 * KIB, 2))).toBe(true);
    await again.done();
    await again.done();
    await expect(readFileOf(tree, "second")).rejects.toMatchObject({ code: "closed" });
  });

  it("says how much of it is here", async () => {
    await using opened = await openMadeLayer(await two(), directory());
    const { size, digest } = opened.source.descriptor;
    const info = opened.layer.info();
    expect(info).toMatchObject({
      digest,
      size,
      prefetchSize: 0,
      format: "estargz",
      isVouchedFor: true,
      error: undefined,
    });
    expect(info.fetchedSize).toBeLessThan(size / 2);
    await opened.layer.backgroundFetch();
    expect(opened.layer.info().fetchedSize).toBe(size);
    opened.layer.skipVerify();
    await using tree = await opened.layer.tree();
    const before = Date.now();
    await readFileOf(tree, "first");
    expect(opened.layer.info().readTime?.getTime()).toBeGreaterThanOrEqual(before);
  });

  it("gives the blob as it lies there", async () => {
    const made = await two();
    await using opened = await openMadeLayer(made, directory());
    expect((await bytesOf(opened.layer.readAt(1000, 5000))).equals(made.bytes.subarray(1000, 6000))).toBe(true);
  });

  it("checks the registry at most once in an interval, with one byte", async () => {
    let now = 0;
    await using opened = await openMadeLayer(await two(), directory(), { now: () => now, checkIntervalMs: 1000 });
    const requests = opened.source.requests.length;
    await opened.layer.check();
    expect(opened.source.requests).toHaveLength(requests);
    now = 1001;
    await opened.layer.check();
    expect(opened.source.requests.slice(requests)).toEqual([{ offset: 0, length: 1 }]);
    now = 2002;
    opened.source.before = () => Promise.reject(new Error("gone"));
    await expect(opened.layer.check()).rejects.toMatchObject({ code: "unavailable" });
  });

  it("reads from another source after a refresh, if that gives the layer", async () => {
    const made = await two();
    await using opened = await openMadeLayer(made, directory());
    opened.source.before = () => Promise.reject(new Error("gone"));
    opened.layer.skipVerify();
    await using tree = await opened.layer.tree();
    await expect(readFileOf(tree, "second")).rejects.toMatchObject({ code: "unavailable" });
    expect(opened.layer.info().error).toBeInstanceOf(Error);
    const wrong = memorySource(made.bytes);
    wrong.before = () => Promise.reject(new Error("gone too"));
    await expect(opened.layer.refresh(wrong)).rejects.toMatchObject({ code: "unavailable" });
    await opened.layer.refresh(memorySource(made.bytes));
    expect((await readFileOf(tree, "second")).equals(madeBytes(300 * KIB, 2))).toBe(true);
    expect(opened.layer.info().error).toBeUndefined();
  });

  it("takes up a layer that is open from the new asker's source when its own is gone", async () => {
    const made = await two();
    let now = 0;
    await using opened = await openMadeLayer(made, directory(), { now: () => now, checkIntervalMs: 1000 });
    opened.source.before = () => Promise.reject(new Error("gone"));
    now = 5000;
    await expect(
      opened.resolver.resolve(opened.source, opened.source.descriptor, { diffID: made.diffID }),
    ).rejects.toMatchObject({ code: "unavailable" });
    opened.source.before = () => Promise.resolve();
    const again = await opened.resolver.resolve(opened.source, opened.source.descriptor, { diffID: made.diffID });
    await again.done();
  });

  it("lets everybody who waits for a prefetch go in time", async () => {
    const made = await makeLayer(
      "estargz",
      [
        { path: "first", content: madeBytes(300 * KIB) },
        { path: "z", content: madeBytes(300 * KIB) },
      ],
      {
        prioritizedFiles: ["first"],
      },
    );
    await using opened = await openMadeLayer(made, directory());
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    opened.source.before = () => held;
    const prefetch = opened.layer.prefetch(1);
    const waits = [
      opened.layer.waitForPrefetchCompletion({ timeoutMs: 50 }),
      opened.layer.waitForPrefetchCompletion({ timeoutMs: 50 }),
    ];
    for (const wait of waits) await expect(wait).rejects.toMatchObject({ code: "timeout" });
    release();
    await prefetch;
    await opened.layer.waitForPrefetchCompletion({ timeoutMs: 1000 });
  });

  it("lets go of who waits for a prefetch that fails, which may be tried again", async () => {
    await using opened = await openMadeLayer(
      await makeLayer("estargz", [{ path: "first", content: madeBytes(300 * KIB) }], { hasLandmark: false }),
      directory(),
    );
    opened.source.before = () => Promise.reject(new Error("gone"));
    const wait = opened.layer.waitForPrefetchCompletion();
    await expect(opened.layer.prefetch(100 * KIB)).rejects.toMatchObject({ code: "unavailable" });
    await wait;
    opened.source.before = () => Promise.resolve();
    await opened.layer.prefetch(100 * KIB);
    expect(opened.layer.info().prefetchSize).toBe(100 * KIB);
  });

  it("goes on with a background fetch where it was broken off, after a restart too", async () => {
    const made = await makeLayer("estargz", [{ path: "file", content: randomBytes(20 * MIB) }]);
    const controller = new AbortController();
    const reason = new Error("enough");
    {
      await using opened = await openMadeLayer(made, directory());
      opened.source.before = () => {
        if (opened.source.requests.length > 3) controller.abort(reason);
        return Promise.resolve();
      };
      await expect(opened.layer.backgroundFetch({ signal: controller.signal })).rejects.toBe(reason);
    }
    const held = (await readdir(join(directory(), (await readdir(directory()))[0] ?? ""))).length;
    expect(held).toBeGreaterThan(1);
    await using again = await openMadeLayer(made, directory());
    const { fetchedSize, size } = again.layer.info();
    expect(fetchedSize).toBeGreaterThan(2 * MIB);
    await again.layer.backgroundFetch();
    expect(again.source.servedBytes).toBe(size - fetchedSize);
    expect(again.layer.info().fetchedSize).toBe(size);
  });

  it("comes to the end of a background fetch beside readers that never stop", async () => {
    const made = await makeLayer("estargz", [{ path: "file", content: randomBytes(24 * MIB) }]);
    await using opened = await openMadeLayer(made, directory(), { concurrency: 2 });
    const busy = memorySource(randomBytes(MIB));
    busy.before = () => new Promise((resolve) => setTimeout(resolve, 2));
    const steady = await opened.resolver.resolveBlob(busy, busy.descriptor, { diffID: made.diffID });
    const over = new AbortController();
    const readers = [0, 1, 2, 3].map(async (reader) => {
      while (!over.signal.aborted) {
        await steady.reader.drop(0, MIB);
        await bytesOf(steady.readAt(reader * 200_000, 1000));
      }
    });
    const before = busy.requests.length;
    await opened.layer.backgroundFetch();
    const during = busy.requests.length - before;
    over.abort();
    await Promise.all(readers);
    expect(opened.layer.info().fetchedSize).toBe(opened.source.descriptor.size);
    // the readers wanted every place that there was, and had most of them
    expect(during).toBeGreaterThan(opened.source.requests.length);
  });

  it("lets many read at the same time without a warning", async () => {
    const warnings = warningsOfTest();
    const made = await makeLayer("estargz", [{ path: "file", content: randomBytes(4 * MIB) }]);
    await using opened = await openMadeLayer(made, directory());
    opened.source.before = () => sleep(50);
    const readers = Array.from({ length: 40 }, (_, at) => bytesOf(opened.layer.readAt(at * 100_000, 1000)));
    expect((await Promise.all(readers)).map(({ length }) => length)).toEqual(readers.map(() => 1000));
    await opened.layer.backgroundFetch();
    expect(warnings).toEqual([]);
  });

  it("reads a few tables at a time, however many layers are opened at once", async () => {
    const warnings = warningsOfTest();
    let [running, most] = [0, 0];
    await using resolver = createLayerResolver({ cache: await openBlobCache(directory()) });
    const opening = Array.from({ length: 12 }, async (_, index) => {
      const made = await makeLayer("external TOC", [{ path: `${index}`, content: "x" }]);
      const source = memorySource(made.bytes, { annotations: made.annotations });
      const externalToc = async (): Promise<Uint8Array | undefined> => {
        most = Math.max(most, ++running);
        await sleep(20);
        running--;
        return made.externalToc;
      };
      return resolver.resolve(source, source.descriptor, { diffID: made.diffID, externalToc });
    });
    expect(await Promise.all(opening)).toHaveLength(12);
    expect(most).toBe(4);
    expect(warnings).toEqual([]);
  });

  it("gives at once what is in memory", async () => {
    await using opened = await openMadeLayer(await two(), directory());
    opened.layer.skipVerify();
    await using tree = await opened.layer.tree();
    const entry = await tree.lookup("second");
    if (entry === undefined || tree.readNow === undefined) throw new Error("nothing to read");
    expect(tree.readNow(entry, 1000, 10)).toBeUndefined();
    await readFileOf(tree, "second");
    expect(tree.readNow(entry, 1000, 10)).toEqual(madeBytes(300 * KIB, 2).subarray(1000, 1010));
    await opened.layer.done();
    expect(tree.readNow(entry, 1000, 10)).toBeUndefined();
  });

  it("says so when the cache does not keep what is fetched for later", async () => {
    const made = await two();
    const cache = await openBlobCache(directory(), { quotaBytes: 200 * KIB });
    await using opened = await openMadeLayer(made, directory(), { cache });
    await expect(opened.layer.backgroundFetch()).rejects.toMatchObject({ code: "cache_full" });
    opened.layer.skipVerify();
    await using tree = await opened.layer.tree();
    expect((await readFileOf(tree, "first")).equals(madeBytes(300 * KIB, 1))).toBe(true);
  });

  it("reads on from the cache when the registry is gone, and fails in time for the rest", async () => {
    await using opened = await openMadeLayer(await two(), directory(), { timeoutMs: 200 });
    opened.layer.skipVerify();
    await using tree = await opened.layer.tree();
    await readFileOf(tree, "second");
    opened.source.before = (_range, { signal }) =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    expect((await readFileOf(tree, "second")).equals(madeBytes(300 * KIB, 2))).toBe(true);
    const started = performance.now();
    await expect(readFileOf(tree, "first")).rejects.toMatchObject({ code: "timeout" });
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it("fetches nothing twice after a restart", async () => {
    const made = await two();
    {
      await using opened = await openMadeLayer(made, directory());
      opened.layer.skipVerify();
      await using tree = await opened.layer.tree();
      for (const path of ["first", "second"]) await readFileOf(tree, path);
    }
    await using again = await openMadeLayer(made, directory());
    again.layer.skipVerify();
    await using tree = await again.layer.tree();
    for (const path of ["first", "second"]) await readFileOf(tree, path);
    expect(again.source.requests).toEqual([]);
  });

  it("never serves what was damaged in the cache, and fetches it again, once", async () => {
    const made = await two();
    {
      await using opened = await openMadeLayer(made, directory());
      await opened.layer.backgroundFetch();
    }
    const folder = join(directory(), (await readdir(directory()))[0] ?? "");
    for (const name of await readdir(folder)) {
      const bytes = await readFile(join(folder, name));
      for (let at = 0; at < bytes.length; at += 1000) bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      await writeFile(join(folder, name), bytes);
    }
    await using again = await openMadeLayer(made, directory());
    again.layer.skipVerify();
    await using tree = await again.layer.tree();
    for (const [index, path] of ["first", "second"].entries())
      expect((await readFileOf(tree, path)).equals(madeBytes(300 * KIB, index + 1))).toBe(true);
    expect(again.source.servedBytes).toBeLessThanOrEqual(made.bytes.length * 1.5);
    await again.layer.complete({ push: async (_descriptor, content) => void (await bytesOf(content)) });
  });

  it("unpacks a chunk once for all who ask for it at the same time", async () => {
    const made = await makeLayer("estargz", [{ path: "file", content: madeBytes(3 * MIB) }]);
    await using opened = await openMadeLayer(made, directory());
    opened.layer.skipVerify();
    await using tree = await opened.layer.tree();
    const parts = await Promise.all(
      Array.from({ length: 24 }, (_, index) => readFileOf(tree, "file", index * 128 * KIB, 128 * KIB)),
    );
    expect(Buffer.concat(parts).equals(madeBytes(3 * MIB))).toBe(true);
    expect(opened.source.servedBytes).toBeLessThanOrEqual(made.bytes.length + 128 * KIB);
  });

  it("refuses to be complete when the blob, its tar or its table is another one", async () => {
    const made = await two();
    const sink = { push: () => Promise.reject(new Error("it must not be pushed")) };
    {
      await using opened = await openMadeLayer({ ...made, diffID: digestOf(Buffer.from("another")) }, directory());
      await expect(opened.layer.complete(sink)).rejects.toMatchObject({ code: "digest_mismatch" });
    }
    const damaged = Buffer.from(made.bytes);
    // within the first member's header: the time, which nothing else looks at
    damaged.writeUInt8(damaged.readUInt8(4) ^ 1, 4);
    const source = memorySource(made.bytes, { annotations: made.annotations });
    source.bytes = damaged;
    await using opened = await openMadeLayer(made, join(directory(), "other"), { source });
    await expect(opened.layer.complete(sink)).rejects.toMatchObject({ code: "digest_mismatch" });
  });

  it("says what layer has no table of contents", async () => {
    const source = memorySource(madeBytes(1000));
    await using resolver = createLayerResolver({ cache: await openBlobCache(directory()) });
    await expect(
      resolver.resolve(source, source.descriptor, { diffID: source.descriptor.digest }),
    ).rejects.toMatchObject({
      code: "toc_missing",
    });
  });

  it("ends everything when its resolver is closed", async () => {
    const made = await two();
    const opened = await openMadeLayer(made, directory());
    opened.layer.skipVerify();
    const tree = await opened.layer.tree();
    opened.source.before = (_range, { signal }) =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    const reading = readFileOf(tree, "first");
    reading.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 20));
    await opened.resolver.close();
    await expect(reading).rejects.toMatchObject({ code: "closed" });
    await expect(
      opened.resolver.resolve(opened.source, opened.source.descriptor, { diffID: made.diffID }),
    ).rejects.toMatchObject({ code: "closed" });
    await opened.layer.done();
    expect(
      (await readdir(join(directory(), (await readdir(directory()))[0] ?? ""))).filter((name) =>
        name.startsWith("pin"),
      ),
    ).toEqual([]);
  });

  it("rejects every call with the reason of a signal that was aborted before", async () => {
    const made = await two();
    await using opened = await openMadeLayer(made, directory());
    const { layer, resolver, source } = opened;
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    layer.skipVerify();
    const calls = [
      layer.check({ signal }),
      layer.refresh(source, { signal }),
      layer.prefetch(1, { signal }),
      layer.waitForPrefetchCompletion({ signal }),
      layer.backgroundFetch({ signal }),
      layer.complete({ push: () => Promise.resolve() }, { signal }),
      layer.tree({ signal }),
      bytesOf(layer.readAt(0, 1, { signal })),
      resolver.resolve(source, source.descriptor, { diffID: made.diffID, signal }),
      resolver.resolveBlob(source, source.descriptor, { diffID: made.diffID, signal }),
    ];
    for (const call of calls) await expect(call).rejects.toBe(reason);
  });
});

/** What the process warns of, as of too many listeners. */
function warningsOfTest(): Error[] {
  const warnings: Error[] = [];
  const listen = (warning: Error): void => void warnings.push(warning);
  process.on("warning", listen);
  onTestFinished(() => void process.off("warning", listen));
  return warnings;
}
