import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openDisk } from "@lamella/disk-export";
import { digestOf } from "@lamella/refs";
import type { Digest } from "@lamella/refs";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { canonicalOptions, diskKeys, parseRequest } from "../src/disk-cache-key.js";
import type { DiskRequest } from "../src/disk-cache-key.js";
import { keepDisks } from "../src/disk-cache.js";
import type { KeptDisk } from "../src/disk-cache.js";
import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import type { Image } from "../src/image.js";
import { pullImage } from "../src/pull.js";
import { createQuotaGuard } from "../src/quota.js";
import { sampleSource } from "./sample-image.js";
import type { SampleOptions } from "./sample-image.js";

const platform = { os: "linux", architecture: "amd64" };
const EROFS: DiskRequest = { format: "erofs" };
const BASE = { path: "base", text: "below" };

let directory = "";
let store: ImageStore;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "disk-cache-"));
  store = await openImageStore(directory);
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

async function pull(name = "sample", options: SampleOptions = {}): Promise<Image> {
  return pullImage(store, await sampleSource(options), "latest", { platform, name });
}

async function filesOf(disk: KeptDisk): Promise<Record<string, string>> {
  await using tree = await openDisk(disk.path);
  const files: Record<string, string> = {};
  for await (const entry of tree.entries()) {
    if (entry.kind !== "file") continue;
    const parts: Buffer[] = [];
    for await (const chunk of tree.read(entry)) parts.push(Buffer.from(chunk));
    files[entry.path] = Buffer.concat(parts).toString();
  }
  return files;
}

const made = (): string[] => readdirSync(join(directory, "disks"));

describe("the disk of an image", () => {
  it("is kept, and found without being made again", async () => {
    const image = await pull();
    const [first] = await keepDisks(store, image, EROFS);
    expect(await filesOf(first!)).toEqual({ "etc/hello": "hello\n" });
    const { ino } = statSync(first!.path);
    expect(await keepDisks(store, image, { format: "erofs", compression: "none" })).toEqual([first]);
    expect(statSync(first!.path).ino).toBe(ino);
    expect(made()).toEqual([`${first!.key}.erofs`]);
    const { disks } = await store.get("sample");
    expect(disks).toMatchObject([{ key: first!.key, format: "erofs", sizeBytes: first!.sizeBytes }]);
    expect((await store.usage()).diskBytes).toBe(first!.sizeBytes);
  });

  it.each(["ext4", "erofs", "cpio", "tar"] as const)("is of the format that was asked for: %s", async (format) => {
    const [disk] = await keepDisks(store, await pull(), { format });
    expect(disk).toMatchObject({ format, sizeBytes: statSync(disk!.path).size });
    expect(disk!.path.endsWith(`.${format}`)).toBe(true);
  });

  it("is another for another option, and for other layers", async () => {
    const image = await pull();
    const disks = [
      await keepDisks(store, image, EROFS),
      await keepDisks(store, image, { format: "erofs", label: "other" }),
      await keepDisks(store, await pull("other", { layers: [BASE] }), EROFS),
    ].flat();
    expect(new Set(disks.map(({ key }) => key)).size).toBe(3);
    expect(made().length).toBe(3);
  });

  it("is made once by those who ask at the same time", async () => {
    const image = await pull();
    const all = await Promise.all(Array.from({ length: 5 }, () => keepDisks(store, image, EROFS)));
    expect(new Set(all.map(([disk]) => disk!.key)).size).toBe(1);
    const rows = await store.database.read((queries) => queries.selectFrom("disks").selectAll().execute());
    expect(rows.length).toBe(1);
  });

  it.each([
    ["is gone", (path: string) => rmSync(path)],
    ["was cut", (path: string) => truncateSync(path, 100)],
  ])("is made again when its file %s", async (_, damage) => {
    const image = await pull();
    const [disk] = await keepDisks(store, image, EROFS);
    const bytes = readFileSync(disk!.path);
    damage(disk!.path);
    expect(await keepDisks(store, image, EROFS)).toEqual([disk]);
    expect(readFileSync(disk!.path).equals(bytes)).toBe(true);
  });

  it("is written over what a killed process has left of it", async () => {
    const image = await pull();
    const [disk] = await keepDisks(store, image, EROFS);
    rmSync(disk!.path);
    writeFileSync(join(directory, "disks", `.${disk!.key.slice(0, 60)}.0a1b2c.tmp`), "half");
    writeFileSync(join(directory, "disks", ".other.0a1b2c.tmp"), "of another");
    await keepDisks(store, image, EROFS);
    expect(made()).toEqual([".other.0a1b2c.tmp", `${disk!.key}.erofs`]);
  });

  it("is shared by images with the same layers, and stays when one of them goes", async () => {
    const one = await pull("one", { layers: [BASE] });
    const other = await pull("other", { layers: [BASE], index: true });
    const config = { ...other, descriptor: one.descriptor };
    expect(await keepDisks(store, one, EROFS)).toEqual(await keepDisks(store, config, EROFS));
    expect((await store.get("other")).disks.length).toBe(1);
    await store.remove("one");
    expect((await store.get("other")).disks.length).toBe(1);
  });

  it("leaves neither row nor file when it cannot be made", async () => {
    const image = await pull("sample", { layers: [{ path: "big", text: "x".repeat(1 << 20) }] });
    await expect(keepDisks(store, image, { format: "ext4", sizeBytes: 65536 })).rejects.toMatchObject({
      code: "size_too_small",
    });
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(keepDisks(store, image, EROFS, { signal })).rejects.toThrow("enough");
    const stop = new AbortController();
    const onProgress = (): void => stop.abort(new Error("stopped"));
    await expect(keepDisks(store, image, EROFS, { onProgress, signal: stop.signal })).rejects.toThrow("stopped");
    expect(made()).toEqual([]);
    expect((await store.get("sample")).disks).toEqual([]);
  });

  it("is held by a lease while it is made", async () => {
    const image = await pull();
    let held: Promise<unknown> | undefined;
    const onProgress = (): void => {
      held ??= store.database.read((queries) =>
        queries.selectFrom("lease_items").selectAll().where("kind", "=", "disk").execute(),
      );
    };
    const [disk] = await keepDisks(store, image, EROFS, { onProgress });
    expect(await held).toMatchObject([{ ref: disk!.key }]);
  });
});

describe("the disks of an image's layers", () => {
  const layers = [BASE, { path: "middle", text: "between" }, { path: "top", text: "above" }];

  it("are one for each, base first", async () => {
    const disks = await keepDisks(store, await pull("sample", { layers }), { format: "erofs-layers" });
    expect(await Promise.all(disks.map(filesOf))).toEqual([{ base: "below" }, { middle: "between" }, { top: "above" }]);
  });

  it("are shared by images up to where their layers differ", async () => {
    const disks = await keepDisks(store, await pull("sample", { layers }), { format: "erofs-layers" });
    const other = await pull("other", { layers: [...layers.slice(0, 2), { path: "top", text: "other" }] });
    const others = await keepDisks(store, other, { format: "erofs-layers" });
    expect(others.slice(0, 2)).toEqual(disks.slice(0, 2));
    expect(others[2]!.key).not.toBe(disks[2]!.key);
    expect(made().length).toBe(4);
    expect((await store.get("other")).disks.length).toBe(3);
  });

  it("are two for a layer that occurs twice", async () => {
    const image = await pull("sample", { layers: [BASE, BASE] });
    const disks = await keepDisks(store, image, { format: "erofs-layers" });
    expect(new Set(disks.map(({ key }) => key)).size).toBe(2);
  });
});

describe("a quota", () => {
  it("of bytes is refused before anything is written", async () => {
    const image = await pull();
    const quota = createQuotaGuard(directory, { maxBytes: 4096 });
    await expect(keepDisks(store, image, EROFS, { quota })).rejects.toMatchObject({ code: "quota_exceeded" });
    expect(made()).toEqual([]);
    const enough = createQuotaGuard(directory, { maxBytes: 1 << 20 });
    expect(await keepDisks(store, image, EROFS, { quota: enough })).toHaveLength(1);
  });

  it("counts what a sparse disk takes, not how large it looks", async () => {
    const quota = createQuotaGuard(directory, { maxBytes: 8 << 20 });
    const [disk] = await keepDisks(store, await pull(), { format: "ext4", sizeBytes: 2 ** 30 }, { quota });
    expect(disk!.sizeBytes).toBe(2 ** 30);
  });

  it("of free space is refused before anything is written", async () => {
    const quota = createQuotaGuard(directory, { minFreeBytes: 2 ** 60 });
    await expect(keepDisks(store, await pull(), EROFS, { quota })).rejects.toMatchObject({ code: "no_space" });
    expect(made()).toEqual([]);
  });

  it("is not given twice to works side by side", async () => {
    const quota = createQuotaGuard(directory, { maxBytes: 1000 });
    const one = await quota.reserve({ bytes: 600, what: "one" });
    const other = quota.reserve({ bytes: 600, what: "other" });
    await expect(other).rejects.toMatchObject({ code: "quota_exceeded" });
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    await quota.reserve({ bytes: 600, what: "other" });
    await expect(quota.reserve({ bytes: 600, what: "one" })).rejects.toMatchObject({ code: "quota_exceeded" });
  });
});

describe("the key of a disk", () => {
  const DIFF: Digest = digestOf(Buffer.from("layer"));
  const keyOf = (request: DiskRequest, diffIDs = [DIFF]): string => diskKeys({ diffIDs, platform, request })[0]!;

  it("is the same for the same options in any order, said or left at their defaults", () => {
    const options = { label: "a", epochSeconds: 5, alignBytes: 4096, verity: true };
    fc.assert(
      fc.property(fc.shuffledSubarray(Object.entries(options), { minLength: 4 }), (entries) => {
        const request = { format: "erofs", dedupe: false, ...Object.fromEntries(entries) } as DiskRequest;
        expect(keyOf(request)).toBe(keyOf({ format: "erofs", ...options }));
        expect(keyOf(parseRequest("erofs", canonicalOptions(request)))).toBe(keyOf(request));
      }),
    );
  });

  it("differs by format, option, layer, order of layers and platform", () => {
    const other: Digest = digestOf(Buffer.from("other"));
    const keys = [
      keyOf(EROFS),
      keyOf({ format: "ext4" }),
      keyOf({ format: "ext4", journal: false }),
      keyOf({ format: "erofs", verity: true }),
      keyOf(EROFS, [DIFF, other]),
      keyOf(EROFS, [other, DIFF]),
      keyOf({ format: "erofs-layers" }, [DIFF]),
      diskKeys({ diffIDs: [DIFF], platform: { os: "linux", architecture: "arm64" }, request: EROFS })[0],
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("is none for formats and options that there are not", () => {
    for (const request of [
      { format: "squashfs" },
      { format: "toString" },
      { format: "tar", journal: true },
      { format: "ext4", signal: 1 },
    ]) {
      expect(() => keyOf(request as never)).toThrow(expect.objectContaining({ code: "option_invalid" }));
    }
  });
});
