import { execFile } from "node:child_process";
import { mkdir, readdir, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { digestOf } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import type { CachedBlob } from "../src/cache/cached-blob.js";
import { type BlobCache, openBlobCache } from "../src/index.js";
import { madeBytes } from "./memory-source.js";
import { scratchDirectory } from "./scratch.js";

const directory = scratchDirectory();
const KIB = 1024;
const blobOf = (name: string, size = 1000 * KIB): { digest: ReturnType<typeof digestOf>; size: number } => ({
  digest: digestOf(Buffer.from(name)),
  size,
});
const folderOf = (name: string): string => join(directory(), blobOf(name).digest.replace(":", "-"));

async function readAll(blob: CachedBlob, offset: number, length: number): Promise<Uint8Array | undefined> {
  const extent = blob.covering(offset);
  if (extent === undefined) return undefined;
  try {
    return await blob.read(extent, offset, length);
  } finally {
    await blob.close();
  }
}

/** A cache of which each blob has one extent, of 100 KiB. */
async function filled(cache: BlobCache, names: readonly string[]): Promise<void> {
  for (const [index, name] of names.entries()) {
    const blob = await cache.blob(blobOf(name));
    await blob.write(0, madeBytes(100 * KIB, index));
    const time = new Date(1_000_000_000_000 + index * 60_000);
    await utimes(join(folderOf(name), `0-${100 * KIB}`), time, time);
  }
}

async function held(names: readonly string[]): Promise<string[]> {
  const there = await readdir(directory());
  return names.filter((name) => there.includes(folderOf(name).split("/").at(-1) ?? ""));
}

describe("the cache", () => {
  it("keeps extents across restarts, and gives any part of them", async () => {
    const bytes = madeBytes(50_000);
    const blob = await (await openBlobCache(directory())).blob(blobOf("a"));
    expect(await blob.write(1000, bytes)).toBe(true);
    const again = await (await openBlobCache(directory())).blob(blobOf("a"));
    expect(again.covering(999)).toBeUndefined();
    expect(again.covering(51_000)).toBeUndefined();
    expect(again.nextAfter(0)).toBe(1000);
    expect(await readAll(again, 2000, 10)).toEqual(bytes.slice(1000, 1010));
    expect(again.heldBytes()).toBe(50_000);
  });

  it("counts overlapping extents once, and drops those within a new one", async () => {
    const cache = await openBlobCache(directory());
    const blob = await cache.blob(blobOf("a"));
    await blob.write(0, madeBytes(100));
    await blob.write(50, madeBytes(100));
    await blob.write(300, madeBytes(100));
    expect(blob.heldBytes()).toBe(250);
    expect(blob.covering(60)).toEqual({ offset: 50, length: 100 });
    await blob.write(0, madeBytes(1000));
    expect(await readdir(folderOf("a"))).toEqual(["0-1000"]);
    await blob.write(10, madeBytes(20));
    expect(await readdir(folderOf("a"))).toEqual(["0-1000"]);
  });

  it("forgets nothing that is written while it is listed, by several at once", async () => {
    const cache = await openBlobCache(directory());
    const [blob, other] = [await cache.blob(blobOf("a")), await cache.blob(blobOf("a"))];
    const refreshAll = async (): Promise<void> => {
      for (let round = 0; round < 3; round++) await blob.refresh();
    };
    for (let at = 0; at < 1000; at += 4) {
      const write = async (to: CachedBlob, offset: number): Promise<boolean> => to.write(offset, madeBytes(10));
      // what others write has it listed anew
      await Promise.all([
        write(other, at * 20),
        ...[20, 40, 60].map(async (offset) => {
          await write(blob, at * 20 + offset);
          expect(blob.covering(at * 20 + offset)).toBeDefined();
        }),
        ...Array.from({ length: 4 }, refreshAll),
      ]);
      for (const offset of [20, 40, 60]) expect(blob.covering(at * 20 + offset)).toBeDefined();
    }
  });

  it("stays within its quota: what was read longest ago goes first", async () => {
    const names = ["a", "b", "c", "d", "e"];
    const cache = await openBlobCache(directory(), { quotaBytes: 350 * KIB });
    await filled(cache, names.slice(0, 3));
    expect(await cache.usedBytes()).toBe(300 * KIB);
    // the oldest is the one that was read last
    await readAll(await cache.blob(blobOf("a")), 0, 10);
    await (await cache.blob(blobOf("d"))).write(0, madeBytes(100 * KIB));
    expect(await held(names)).toEqual(["a", "c", "d"]);
    await (await cache.blob(blobOf("e"))).write(0, madeBytes(100 * KIB));
    expect(await held(names)).toEqual(["a", "d", "e"]);
    expect(await cache.usedBytes()).toBe(300 * KIB);
  });

  it("stays within its quota while many are written at once", async () => {
    const quotaBytes = 1000 * KIB;
    const cache = await openBlobCache(directory(), { quotaBytes });
    const blob = await cache.blob({ digest: blobOf("a").digest, size: 100_000 * KIB });
    for (let round = 0; round < 20; round++) {
      const offsets = Array.from({ length: 20 }, (_, index) => (round * 20 + index) * 200 * KIB);
      await Promise.all(offsets.map((offset) => blob.write(offset, madeBytes(90 * KIB))));
      expect(await cache.usedBytes()).toBeLessThanOrEqual(quotaBytes);
    }
    expect(await cache.usedBytes()).toBeGreaterThan(quotaBytes / 2);
  });

  it("evicts nothing that is pinned, and keeps nothing more when all is", async () => {
    const cache = await openBlobCache(directory(), { quotaBytes: 250 * KIB });
    await filled(cache, ["a", "b"]);
    const unpinA = await (await cache.blob(blobOf("a"))).pin();
    const c = await cache.blob(blobOf("c"));
    expect(await c.write(0, madeBytes(100 * KIB))).toBe(true);
    expect(await held(["a", "b", "c"])).toEqual(["a", "c"]);
    const unpinC = await c.pin();
    expect(await (await cache.blob(blobOf("d"))).write(0, madeBytes(100 * KIB))).toBe(false);
    expect(await held(["a", "b", "c", "d"])).toEqual(["a", "c"]);
    await unpinA();
    await unpinC();
    const later = await openBlobCache(directory(), { quotaBytes: 250 * KIB });
    expect(await (await later.blob(blobOf("d"))).write(0, madeBytes(100 * KIB))).toBe(true);
    expect(await cache.usedBytes()).toBeLessThanOrEqual(250 * KIB);
  });

  it("does not heed a pin that nobody has touched for minutes", async () => {
    const cache = await openBlobCache(directory(), { quotaBytes: 150 * KIB });
    await filled(cache, ["a"]);
    const pin = join(folderOf("a"), "pin-of-a-killed-process");
    await writeFile(pin, "");
    const time = new Date(Date.now() - 600_000);
    await utimes(pin, time, time);
    expect(await (await cache.blob(blobOf("b"))).write(0, madeBytes(100 * KIB))).toBe(true);
    expect(await held(["a", "b"])).toEqual(["b"]);
  });

  it("refuses what is larger than its quota", async () => {
    const cache = await openBlobCache(directory(), { quotaBytes: 1000 });
    expect(await (await cache.blob(blobOf("a"))).write(0, madeBytes(1001))).toBe(false);
    await expect(openBlobCache(directory(), { quotaBytes: 0 })).rejects.toBeInstanceOf(RangeError);
  });

  it("never serves an extent that is truncated, too long, no file, or outside of the blob", async () => {
    const cache = await openBlobCache(directory());
    const blob = await cache.blob(blobOf("a"));
    for (const offset of [0, 1000, 2000]) await blob.write(offset, madeBytes(500));
    await truncate(join(folderOf("a"), "0-500"), 400);
    await writeFile(join(folderOf("a"), "1000-500"), madeBytes(501));
    await mkdir(join(folderOf("a"), "5000-10"));
    await promisify(execFile)("mkfifo", [join(folderOf("a"), "6000-10")]);
    await writeFile(join(folderOf("a"), `${999 * KIB}-${2 * KIB}`), madeBytes(2 * KIB));
    await writeFile(join(folderOf("a"), "07-5"), "seven");
    const again = await cache.blob(blobOf("a"));
    expect(await readAll(again, 0, 10)).toBeUndefined();
    expect(await readAll(again, 1000, 10)).toBeUndefined();
    expect(await readAll(again, 5000, 10)).toBeUndefined();
    expect(await readAll(again, 6000, 10)).toBeUndefined();
    expect(again.covering(999 * KIB)).toBeUndefined();
    expect(again.covering(7)).toBeUndefined();
    expect(await readAll(again, 2000, 500)).toEqual(madeBytes(500));
    expect(await readdir(folderOf("a"))).not.toContain("0-500");
  });

  it("sees what another process has written, and misses what it has evicted", async () => {
    const cache = await openBlobCache(directory());
    const blob = await cache.blob(blobOf("a"));
    expect(blob.covering(0)).toBeUndefined();
    const program = `
      import { openBlobCache } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
      const cache = await openBlobCache(${JSON.stringify(directory())});
      await (await cache.blob(${JSON.stringify(blobOf("a"))})).write(0, new Uint8Array(500));
    `;
    await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program]);
    await blob.refresh();
    expect(await readAll(blob, 0, 500)).toEqual(new Uint8Array(500));
    await (await (await openBlobCache(directory())).blob(blobOf("a"))).drop({ offset: 0, length: 1 });
    await blob.refresh();
    expect(blob.covering(0)).toBeUndefined();
  });

  it("holds its quota, about, while two processes write", async () => {
    const quotaBytes = 4000 * KIB;
    const program = `
      import { openBlobCache } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
      const cache = await openBlobCache(${JSON.stringify(directory())}, { quotaBytes: ${quotaBytes} });
      const blob = await cache.blob({ digest: process.argv[1], size: 1e9 });
      for (let at = 0; at < 200; at++) await blob.write(at * 200_000, new Uint8Array(100_000));
    `;
    const run = (name: string): Promise<unknown> =>
      promisify(execFile)(process.execPath, ["--input-type=module", "-e", program, blobOf(name).digest]);
    await Promise.all([run("a"), run("b")]);
    const used = await (await openBlobCache(directory())).usedBytes();
    expect(used).toBeGreaterThan(quotaBytes / 2);
    expect(used).toBeLessThan(quotaBytes * 1.2);
  });

  it("touches what is read at most once a minute", async () => {
    let now = Date.now() + 3_600_000;
    const cache = await openBlobCache(directory(), { now: () => now });
    const blob = await cache.blob(blobOf("a"));
    await blob.write(0, madeBytes(100));
    const touchedAt = async (): Promise<number> => (await stat(join(folderOf("a"), "0-100"))).mtimeMs;
    await readAll(blob, 0, 10);
    const first = await touchedAt();
    expect(Math.abs(first - now)).toBeLessThan(1000);
    now += 30_000;
    await readAll(blob, 0, 10);
    expect(await touchedAt()).toBe(first);
    now += 60_000;
    await readAll(blob, 0, 10);
    expect(await touchedAt()).toBeGreaterThan(first);
  });

  it("says why a directory cannot be used", async () => {
    await writeFile(join(directory(), "file"), "");
    await expect(openBlobCache(join(directory(), "file"))).rejects.toMatchObject({ code: "cache_unusable" });
  });

  it("rejects with a signal's reason", async () => {
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(openBlobCache(directory(), { signal })).rejects.toBe(reason);
    const cache = await openBlobCache(directory());
    await expect(cache.blob(blobOf("a"), { signal })).rejects.toBe(reason);
    await expect(cache.usedBytes({ signal })).rejects.toBe(reason);
  });
});
