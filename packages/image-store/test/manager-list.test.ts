import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { BuildStatus } from "../src/database/schema.js";
import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import { createImageManager } from "../src/manager.js";
import type { ImageManager } from "../src/manager.js";
import { sampleSource } from "./sample-image.js";
import type { SampleSource } from "./sample-image.js";

const platform = { os: "linux", architecture: "amd64" };
const NAMES = ["one", "two", "three"];
const LAYERS = [
  { path: "base", text: "below" },
  { path: "top", text: "above" },
];

let directory = "";
let store: ImageStore;
let manager: ImageManager;
let gate: Promise<void> | undefined;
let reads = 0;

/** Counts the transactions that read. */
function counting(opened: ImageStore): ImageStore {
  const { database } = opened;
  const read: typeof database.read = (work, call) => {
    reads++;
    return database.read(work, call);
  };
  const of = (name: keyof typeof database): never => database[name].bind(database) as never;
  const others = {
    write: of("write"),
    exclusively: of("exclusively"),
    checkpoint: of("checkpoint"),
    [Symbol.asyncDispose]: of(Symbol.asyncDispose),
  };
  return { ...opened, database: { read, ...others } };
}

async function openManager(): Promise<ImageManager> {
  const sources = async (name: string) => {
    const run = { Cmd: name.includes("one") ? ["/sbin/init"] : ["/bin/sh"], Env: ["A=b"] };
    const source = await sampleSource({ layers: LAYERS.slice(name.includes("two") ? 1 : 0), run });
    const gated: SampleSource = {
      ...source,
      async *fetch(descriptor, call) {
        if (source.layers.some(({ digest }) => digest === descriptor.digest)) await gate;
        call?.signal?.throwIfAborted();
        yield* source.fetch(descriptor, call);
      },
    };
    return { images: gated, name, close: async () => {} };
  };
  return createImageManager(store, { sources, concurrency: { builds: 1 } });
}

async function statuses(filter: { status?: BuildStatus } = {}): Promise<string[]> {
  return (await manager.listImages(filter)).map(({ name, status }) => `${name.split("/").at(-1)} ${status}`);
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "manager-list-"));
  store = await openImageStore(directory);
  gate = undefined;
  manager = await openManager();
});
afterEach(async () => {
  await manager[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

describe("listImages()", () => {
  it.each(["erofs", "ext4", "erofs-layers", "tar"] as const)(
    "gives of %s disks what getImage() gives",
    async (format) => {
      const asked = { platform, disk: { format } };
      for (const name of NAMES) await manager.createImage(name, asked);
      for (const name of NAMES) await manager.waitForReady(name);
      const images = await Promise.all(NAMES.toReversed().map((name) => manager.getImage(name)));
      expect(await manager.listImages()).toEqual(images);
      const layered = format === "erofs-layers";
      expect(images.map(({ built }) => built?.disks.length)).toEqual(layered ? [2, 1, 2] : [1, 1, 1]);
      expect(images.map(({ built }) => built?.isSystemdImage)).toEqual([false, false, true]);
    },
  );

  it("tells where in the queue each stands that waits", async () => {
    let open: () => void = () => {};
    gate = new Promise((resolve) => (open = resolve));
    for (const name of NAMES) await manager.createImage(name, { platform, disk: { format: "erofs" } });
    await expect.poll(async () => (await manager.getImage("one")).status).toBe("pulling");
    const positions = (await manager.listImages()).map(({ queuePosition }) => queuePosition);
    expect(positions).toEqual([2, 1, 0]);

    await using other = await openManager();
    expect((await other.listImages()).map(({ queuePosition }) => queuePosition)).toEqual(positions);
    open();
    await manager.waitForReady("three");
    expect((await manager.listImages()).map(({ queuePosition }) => queuePosition)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it.each([{ format: "erofs" }, { format: "erofs-layers" }] as const)(
    "has failed what has lost its image or a disk: $format",
    async (disk) => {
      for (const name of NAMES) await manager.createImage(name, { platform, disk });
      const images = await Promise.all(NAMES.map((name) => manager.waitForReady(name)));
      await store.remove("one");
      const [key] = images[1]!.built!.disks.map((each) => each.key);
      await store.database.write((queries) => queries.deleteFrom("disks").where("key", "=", key!).execute());
      expect(await statuses()).toEqual(["three:latest ready", "two:latest failed", "one:latest failed"]);
      expect(await statuses({ status: "failed" })).toEqual(["two:latest failed", "one:latest failed"]);
      expect(await statuses({ status: "ready" })).toEqual(["three:latest ready"]);
      const [, two] = await manager.listImages();
      expect(two).toEqual(await manager.getImage("two"));
    },
  );

  it("asks the database as often for many images as for one", async () => {
    const counted = counting(store);
    await using one = await createImageManager(counted, { sources: () => Promise.reject(new Error("no source")) });
    for (const name of NAMES) {
      await manager.createImage(name, { platform, disk: { format: "erofs-layers" } });
      await manager.waitForReady(name);
      reads = 0;
      await one.listImages();
      expect(reads).toBe(1);
    }
  });

  it("rejects with the reason of an aborted signal", async () => {
    const signal = AbortSignal.abort(new Error("gone"));
    await expect(manager.listImages({}, { signal })).rejects.toBe(signal.reason);
  });
});

describe("a build", () => {
  it("is waited for until it has ended, however it has, and is known by its number until it is deleted", async () => {
    let open: () => void = () => {};
    gate = new Promise((resolve) => (open = resolve));
    const { id } = await manager.createImage("one", { platform, disk: { format: "erofs" } });
    const stop = new AbortController();
    const stopped = manager.waitForEnd(id, { signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(stopped).rejects.toThrow("enough");
    const ended = manager.waitForEnd(id);
    await manager.cancelBuild(id);
    open();
    expect(await ended).toMatchObject({ id, status: "cancelled" });
    expect(await manager.getBuild(id)).toEqual(await ended);
    await manager.createImage("one", { platform, disk: { format: "erofs" } });
    expect(await manager.waitForEnd(id)).toMatchObject({ id, status: "ready" });
    await manager.deleteImage("one");
    await expect(manager.getBuild(id)).rejects.toMatchObject({ code: "build_cancelled" });
    await expect(manager.waitForEnd(id)).rejects.toMatchObject({ code: "build_cancelled" });
  });

  it("is not asked for with an option that its format does not have, nor is anything named for it", async () => {
    const disk = { format: "tar", journal: true } as never;
    await expect(manager.createImage("one", { platform, disk })).rejects.toMatchObject({ code: "option_invalid" });
    await manager.createImage("one", { platform, disk: { format: "tar" } });
    const { digest } = await manager.waitForReady("one");
    const importing = manager.importLocalImage("mine", digest, { platform, disk });
    await expect(importing).rejects.toMatchObject({ code: "option_invalid" });
    expect((await store.tags()).map(({ name }) => name)).toEqual(["docker.io/library/one:latest"]);
  });
});
