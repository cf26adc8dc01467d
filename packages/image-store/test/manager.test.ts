import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { DatabaseError } from "@lamella/database";
import { openDisk } from "@lamella/disk-export";
import { digestOf } from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Phase, PhaseEnd } from "../src/hooks.js";
import type { OpenSource } from "../src/image-location.js";
import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import type { BuildEvent } from "../src/manager-events.js";
import { createImageManager } from "../src/manager.js";
import type { ImageManager, ImageManagerOptions } from "../src/manager.js";
import { pullImage } from "../src/pull.js";
import { sampleSource } from "./sample-image.js";
import type { SampleSource } from "./sample-image.js";

const platform = { os: "linux", architecture: "amd64" };
const ALPINE = "docker.io/library/alpine:latest";
const BASE = { path: "base", text: "below" };
const asked = { platform, disk: { format: "erofs" } } as const;

let directory = "";
let store: ImageStore;
let manager: ImageManager;
/** What the registry has. */
const images = new Map<string, SampleSource>();
/** While it is there, nothing but documents is served. */
let gate: Promise<void> | undefined;
let closed = 0;

async function sources(name: string): Promise<OpenSource> {
  const source = images.get(name);
  if (source === undefined) throw new Error(`the registry has no ${name}`);
  const gated: SampleSource = {
    ...source,
    async *fetch(descriptor, call) {
      if (isLayer(source, descriptor)) await gate;
      call?.signal?.throwIfAborted();
      yield* source.fetch(descriptor, call);
    },
  };
  return { images: gated, name, close: async () => void closed++ };
}

function isLayer(source: SampleSource, { digest }: Descriptor): boolean {
  return source.layers.some((layer) => layer.digest === digest);
}

function shut(): () => void {
  let open: () => void = () => {};
  gate = new Promise((resolve) => (open = resolve));
  return () => {
    gate = undefined;
    open();
  };
}

async function openManager(options: Partial<ImageManagerOptions> = {}): Promise<ImageManager> {
  return createImageManager(store, { sources, ...options });
}

async function serve(name: string, ...layers: { path: string; text: string }[]): Promise<SampleSource> {
  const source = await sampleSource({ layers: layers.length === 0 ? [BASE] : layers, index: true });
  images.set(name, source);
  return source;
}

async function tagged(): Promise<string[]> {
  return (await store.tags()).map(({ name }) => name);
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "manager-"));
  store = await openImageStore(directory);
  manager = await openManager();
  images.clear();
  gate = undefined;
  closed = 0;
});
afterEach(async () => {
  await manager[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

describe("an image that is asked for", () => {
  it("goes by name and by digest from pending to ready, and has its tag only then", async () => {
    const { root } = await serve(ALPINE);
    const open = shut();
    const { status, digest, name } = await manager.createImage("alpine", asked);
    expect(["pending", "pulling"]).toContain(status);
    expect({ name, digest }).toEqual({ name: ALPINE, digest: root.digest });
    for (const text of ["alpine", ALPINE, root.digest, root.digest.slice(7, 19)]) {
      expect((await manager.getImage(text)).digest).toBe(root.digest);
    }
    expect(await tagged()).toEqual([]);
    open();
    const ready = await manager.waitForReady("alpine");
    expect(ready).toMatchObject({ status: "ready", attempts: 1, error: undefined, queuePosition: undefined });
    expect(await tagged()).toEqual([ALPINE]);
    const [disk] = ready.built!.disks;
    await using tree = await openDisk(disk!.path);
    const paths: string[] = [];
    for await (const { path } of tree.entries()) paths.push(path);
    expect(paths).toContain("base");
    expect(ready.built!.sizeBytes).toBe(statSync(disk!.path).size);
    expect((await manager.getImage(ready.manifestDigest!)).id).toBe(ready.id);
    expect(closed).toBe(2);
  });

  it("is returned as it is when it is ready, with its tag back", async () => {
    const source = await serve(ALPINE);
    await manager.createImage("alpine", asked);
    const ready = await manager.waitForReady("alpine");
    await store.tag("kept", ALPINE);
    await store.untag(ALPINE);
    source.fetched.length = 0;
    expect(await manager.createImage("alpine", asked)).toEqual(ready);
    expect(source.fetched).toEqual([]);
    expect(await tagged()).toEqual([ALPINE, "kept"]);
  });

  it("is one build while it is under way, and another for another platform or disk", async () => {
    await serve(ALPINE);
    const open = shut();
    const { id } = await manager.createImage("alpine", asked);
    expect((await manager.createImage(ALPINE, asked)).id).toBe(id);
    expect((await manager.createImage("alpine", { ...asked, disk: { format: "ext4" } })).id).not.toBe(id);
    const arm64 = { os: "linux", architecture: "arm64" };
    const arm = await manager.createImage("alpine", { ...asked, platform: arm64 });
    expect(arm.id).not.toBe(id);
    open();
    await manager.queue.idle();
    expect(await manager.countByStatus()).toMatchObject({ ready: 2, failed: 1 });
    const failed = await manager.getImage("alpine", { platform: arm64 });
    expect(failed).toMatchObject({ status: "failed", errorCode: "platform_unavailable" });
  });

  it("is built once under two names, which stay apart", async () => {
    const source = await serve(ALPINE);
    images.set("docker.io/library/other:latest", source);
    await manager.createImage("alpine", asked);
    await manager.createImage("other", asked);
    const one = await manager.waitForReady("alpine");
    const other = await manager.waitForReady("other");
    expect(other.built).toEqual(one.built);
    expect(await manager.totalImageBytes()).toBe(statSync(one.built!.disks[0]!.path).blocks * 512);
    await manager.deleteImage("other");
    expect(await tagged()).toEqual([ALPINE]);
    expect((await manager.getImage("alpine")).built).toEqual(one.built);
    await expect(manager.getImage("other")).rejects.toMatchObject({ code: "not_found" });
  });

  it("that failed can be asked for again", async () => {
    const source = await serve(ALPINE, BASE, { path: "b", text: "b" });
    const [layer] = source.layers;
    const bytes = source.blobs.get(layer!.digest)!;
    source.blobs.delete(layer!.digest);
    const { id } = await manager.createImage("alpine", asked);
    await expect(manager.waitForReady("alpine")).rejects.toMatchObject({ code: "build_failed" });
    const failed = await manager.getImage("alpine");
    expect(failed).toMatchObject({ id, status: "failed", error: `${layer!.digest} was not there` });
    expect(await tagged()).toEqual([]);
    source.blobs.set(layer!.digest, bytes);
    expect((await manager.createImage("alpine", asked)).id).toBe(id);
    expect(await manager.waitForReady("alpine")).toMatchObject({ attempts: 2, error: undefined });
  });

  it("whose disk has gone has failed, and is built again", async () => {
    await serve(ALPINE);
    await manager.createImage("alpine", asked);
    const { built } = await manager.waitForReady("alpine");
    rmSync(built!.disks[0]!.path);
    expect(await manager.getImage("alpine")).toMatchObject({ status: "failed", errorCode: "not_found" });
    await manager.createImage("alpine", asked);
    expect((await manager.waitForReady("alpine")).built).toEqual(built);
  });

  it("is forgotten when its name stands for another and nothing of it is left", async () => {
    const before = await serve(ALPINE);
    await manager.createImage("alpine", asked);
    const { manifestDigest } = await manager.waitForReady("alpine");
    await store.database.write((queries) =>
      queries.deleteFrom("images").where("manifest_digest", "=", manifestDigest!).execute(),
    );
    expect(await manager.listImages()).toMatchObject([{ digest: before.root.digest, status: "failed" }]);
    expect(await manager.listImages({ status: "ready" })).toEqual([]);
    const after = await serve(ALPINE, { path: "new", text: "new" });
    await manager.createImage("alpine", asked);
    await manager.waitForReady("alpine");
    expect(await manager.listImages()).toMatchObject([{ digest: after.root.digest, status: "ready" }]);
  });

  it("is not asked for where its name is none, or nobody knows it", async () => {
    await expect(manager.createImage("Not A Name")).rejects.toMatchObject({ code: "name_invalid" });
    await expect(manager.createImage("alpine")).rejects.toThrow("the registry has no");
    expect(await manager.listImages()).toEqual([]);
  });

  it("follows its name when the registry moves it, and the one before stays by digest", async () => {
    const before = await serve(ALPINE);
    await manager.createImage("alpine", asked);
    await manager.waitForReady("alpine");
    const after = await serve(ALPINE, { path: "new", text: "new" });
    await manager.createImage("alpine", asked);
    expect((await manager.waitForReady("alpine")).digest).toBe(after.root.digest);
    expect((await manager.getImage(before.root.digest)).status).toBe("ready");
    expect((await store.get(ALPINE)).digest).toBe(after.root.digest);
  });

  it("is given up when nobody says in time what its name stands for", async () => {
    await manager[Symbol.asyncDispose]();
    const hanging = async (_: string, { signal }: { signal?: AbortSignal | undefined }): Promise<OpenSource> =>
      new Promise((_resolve, reject) => signal!.addEventListener("abort", () => reject(signal!.reason as Error)));
    manager = await openManager({ resolveTimeoutMs: 20, sources: hanging });
    await expect(manager.createImage("alpine", asked)).rejects.toMatchObject({ code: "timeout" });
  });

  it("that would take its store over a quota is refused before it is fetched", async () => {
    const source = await serve(ALPINE);
    await manager[Symbol.asyncDispose]();
    manager = await openManager({ quotas: { maxBytes: 10 } });
    await manager.createImage("alpine", asked);
    await expect(manager.waitForReady("alpine")).rejects.toMatchObject({ code: "build_failed" });
    expect((await manager.getImage("alpine")).errorCode).toBe("quota_exceeded");
    expect(source.fetched.some((digest) => source.layers[0]!.digest === digest)).toBe(false);
  });

  it("can be the layers of an image, lowest first", async () => {
    await serve(ALPINE, BASE, { path: "top", text: "top" });
    await manager.createImage("alpine", { platform, disk: { format: "erofs-layers" } });
    expect((await manager.waitForReady("alpine")).built!.disks.length).toBe(2);
  });
});

describe("an image of the store", () => {
  it("is built without any source, by its digest, under a name", async () => {
    const source = await sampleSource({ layers: [BASE] });
    for (const [digest, bytes] of source.blobs) {
      const mediaType = source.root.mediaType;
      await store.content.push({ mediaType, digest, size: bytes.length }, once(bytes));
    }
    await manager.importLocalImage("pushed:1", source.root.digest, asked);
    const { name, digest, built } = await manager.waitForReady("pushed:1");
    expect({ name, digest }).toEqual({ name: "docker.io/library/pushed:1", digest: source.root.digest });
    expect(built!.disks.length).toBe(1);
    expect(closed).toBe(0);
    expect((await manager.createImage("pushed:1", asked)).status).toBe("ready");
  });

  it("that is not there cannot be imported", async () => {
    const digest = digestOf(Buffer.from("none"));
    await expect(manager.importLocalImage("a", digest)).rejects.toMatchObject({ code: "not_found" });
    await expect(manager.importLocalImage("a", "none")).rejects.toMatchObject({ code: "not_found" });
    expect(await manager.listImages()).toEqual([]);
  });

  it("with a name of the user's own is built from the store, whatever the registry has", async () => {
    const mine = await sampleSource({ layers: [BASE] });
    await pullImage(store, mine, "latest", { platform, name: ALPINE });
    await serve(ALPINE, { path: "theirs", text: "theirs" });
    await manager.createImage("alpine", asked);
    expect((await manager.waitForReady("alpine")).digest).toBe(mine.root.digest);
  });
});

describe("deleting an image", () => {
  it("ends its build, and nothing of it appears afterwards", async () => {
    await serve(ALPINE);
    const open = shut();
    await manager.createImage("alpine", asked);
    const waiting = expect(manager.waitForReady("alpine")).rejects.toMatchObject({ code: "build_cancelled" });
    expect(await manager.deleteImage("alpine")).toEqual({ names: [ALPINE], images: [] });
    open();
    await manager.queue.idle();
    await waiting;
    expect(await manager.listImages()).toEqual([]);
    expect(await tagged()).toEqual([]);
  });

  it("by digest leaves the name to what it stands for now", async () => {
    const before = await serve(ALPINE);
    await manager.createImage("alpine", asked);
    await manager.waitForReady("alpine");
    await serve(ALPINE, { path: "new", text: "new" });
    await manager.createImage("alpine", asked);
    await manager.waitForReady("alpine");
    await manager.deleteImage(before.root.digest);
    expect(await tagged()).toEqual([ALPINE]);
    expect((await manager.getImage("alpine")).status).toBe("ready");
    await expect(manager.getImage(before.root.digest)).rejects.toMatchObject({ code: "not_found" });
  });

  it("by digest with several names needs force", async () => {
    const { root } = await serve(ALPINE);
    await manager.createImage("alpine", asked);
    await manager.waitForReady("alpine");
    await store.tag("other", ALPINE);
    await expect(manager.deleteImage(root.digest)).rejects.toMatchObject({ code: "in_use" });
    expect((await manager.getImage("alpine")).status).toBe("ready");
    await manager.deleteImage(root.digest, { force: true });
    expect([await tagged(), await manager.listImages()]).toEqual([[], []]);
  });

  it("lets garbage collection free its disks and blobs, and leaves those that another image has", async () => {
    await serve(ALPINE, BASE, { path: "a", text: "a" });
    const other = await serve("docker.io/library/other:latest", BASE, { path: "b", text: "b" });
    for (const name of ["alpine", "other"]) {
      await manager.createImage(name, { platform, disk: { format: "erofs-layers" } });
      await manager.waitForReady(name);
    }
    const { built } = await manager.getImage("other");
    await manager.deleteImage("alpine");
    await store.gc({ graceMs: 0 });
    expect((await manager.getImage("other")).built).toEqual(built);
    expect(readdirSync(join(directory, "disks")).toSorted()).toEqual(
      built!.disks.map(({ path }) => basename(path)).toSorted(),
    );
    expect(await readBlobs()).toEqual([...other.blobs.keys()].toSorted());
    await manager.deleteImage("other");
    await store.gc({ graceMs: 0 });
    expect([await readBlobs(), readdirSync(join(directory, "disks"))]).toEqual([[], []]);
    expect(await manager.totalImageBytes()).toBe(0);
  });

  it("that there is not says so", async () => {
    await expect(manager.deleteImage("none")).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("a manager", () => {
  it("tells events of its builds by phase and layer, and ends them with itself", async () => {
    const { layers } = await serve(ALPINE);
    const events: BuildEvent[] = [];
    const stop = new AbortController();
    const listening = (async () => {
      for await (const event of manager.events()) events.push(event);
    })();
    const stopped = (async () => {
      for await (const _ of manager.events({ signal: stop.signal })) stop.abort();
    })();
    await manager.createImage("alpine", asked);
    const ready = await manager.waitForReady("alpine");
    await stopped;
    await manager[Symbol.asyncDispose]();
    await listening;
    const statuses = events.flatMap((event) => (event.type === "status" ? [event.build.status] : []));
    expect(statuses).toEqual(["pending", "pulling", "converting", "ready"]);
    expect(events.find((event) => event.type === "layer")).toMatchObject({ progress: { layer: layers[0]!.digest } });
    const bytes = ready.built!.sizeBytes;
    const disk = events.findLast((event) => event.type === "disk");
    expect(disk).toMatchObject({ name: ALPINE, doneBytes: bytes, totalBytes: bytes });
  });

  it("builds while garbage is collected all the time, with no grace at all", async () => {
    for (const name of ["a", "b", "c"])
      await serve(`docker.io/library/${name}:latest`, BASE, { path: name, text: name });
    const over = new AbortController();
    const collecting = (async () => {
      let runs = 0;
      for (; !over.signal.aborted; runs++) await store.gc({ graceMs: 0 });
      return runs;
    })();
    for (const name of ["a", "b", "c"]) await manager.createImage(name, asked);
    for (const name of ["a", "b", "c"]) expect((await manager.waitForReady(name)).attempts).toBe(1);
    over.abort();
    expect(await collecting).toBeGreaterThan(1);
    for (const name of ["a", "b", "c"]) expect((await manager.getImage(name)).status).toBe("ready");
  });

  it("tells its hooks how long each phase took and how it ended", async () => {
    const phases: (Phase & PhaseEnd)[] = [];
    const states: number[] = [];
    await manager[Symbol.asyncDispose]();
    manager = await openManager({
      hooks: {
        onPhase: (phase) => (end) => void phases.push({ ...phase, ...end }),
        onQueue: ({ active, pending }) => void states.push(active + pending),
      },
    });
    await serve(ALPINE);
    await manager.createImage("alpine", asked);
    await manager.waitForReady("alpine");
    await manager.queue.idle();
    expect(phases.map(({ phase }) => phase)).toEqual(["resolve", "pull", "convert", "record", "build"]);
    expect(phases.every(({ durationMs, outcome }) => durationMs >= 0 && outcome === "done")).toBe(true);
    expect(states.at(-1)).toBe(0);
    expect(Math.max(...states)).toBe(1);
    const source = await serve("docker.io/library/bad:latest", { path: "bad", text: "bad" });
    source.blobs.delete(source.layers[0]!.digest);
    await manager.createImage("bad", asked);
    await expect(manager.waitForReady("bad")).rejects.toMatchObject({ code: "build_failed" });
    expect(phases.slice(-2).map(({ phase, outcome }) => [phase, outcome])).toEqual([
      ["pull", "failed"],
      ["build", "failed"],
    ]);
  });

  it("counts blobs once, however many images have them", async () => {
    const one = await serve(ALPINE, BASE);
    await serve("docker.io/library/other:latest", BASE, { path: "b", text: "b" });
    for (const name of ["alpine", "other"]) {
      await manager.createImage(name, asked);
      await manager.waitForReady(name);
    }
    let bytes = 0;
    for await (const digest of store.content.blobs()) bytes += statSync(store.content.blobPath(digest)).blocks * 512;
    expect(await manager.totalOciCacheBytes()).toBe(bytes);
    expect(one.layers.length).toBe(1);
  });

  it("goes on with what another one left when it was closed", async () => {
    const { root } = await serve(ALPINE);
    const open = shut();
    await manager.createImage("alpine", asked);
    await manager[Symbol.asyncDispose]();
    open();
    await expect(manager.createImage("alpine", asked)).rejects.toMatchObject({ code: "closed" });
    manager = await openManager();
    expect((await manager.getImage("alpine")).status).toBe("pending");
    expect((await manager.recoverInterruptedBuilds()).map(({ digest }) => digest)).toEqual([root.digest]);
    expect(await manager.waitForReady("alpine")).toMatchObject({ digest: root.digest });
    expect(await manager.recoverInterruptedBuilds()).toEqual([]);
  });

  it("sees what another one builds, and leaves it alone", async () => {
    await serve(ALPINE);
    await using other = await openManager();
    const open = shut();
    const { id } = await manager.createImage("alpine", asked);
    expect(await other.recoverInterruptedBuilds()).toEqual([]);
    expect((await other.createImage("alpine", asked)).id).toBe(id);
    const waiting = other.waitForReady("alpine");
    open();
    expect((await waiting).id).toBe(id);
  });

  it("takes over what it waits for when the one that built it is closed", async () => {
    const { root } = await serve(ALPINE);
    const open = shut();
    await manager.createImage("alpine", asked);
    await using other = await openManager();
    const waiting = other.waitForReady("alpine");
    await manager[Symbol.asyncDispose]();
    open();
    expect(await waiting).toMatchObject({ digest: root.digest });
  });

  it("says so when the database does not let a build go on, and goes on when it is asked to recover it", async () => {
    await serve(ALPINE);
    const { database } = store;
    const open = shut();
    await manager.createImage("alpine", asked);
    const lost = new DatabaseError("unavailable", "cannot write database: the device is gone");
    const write = vi.spyOn(database, "write").mockRejectedValue(lost);
    open();
    await expect(manager.waitForReady("alpine")).rejects.toBe(lost);
    write.mockRestore();
    expect((await manager.recoverInterruptedBuilds()).length).toBe(1);
    expect((await manager.waitForReady("alpine")).status).toBe("ready");
  });

  it("stops waiting when it is told to", async () => {
    await serve(ALPINE);
    const open = shut();
    await manager.createImage("alpine", asked);
    await expect(manager.waitForReady("alpine", { signal: AbortSignal.timeout(50) })).rejects.toThrow("timeout");
    const signal = AbortSignal.abort(new Error("enough"));
    const calls = [
      () => manager.createImage("alpine", { signal }),
      () => manager.importLocalImage("alpine", "a", { signal }),
      () => manager.getImage("alpine", { signal }),
      () => manager.deleteImage("alpine", { signal }),
      () => manager.listImages({}, { signal }),
      () => manager.recoverInterruptedBuilds({ signal }),
      () => manager.countByStatus({ signal }),
      () => manager.totalImageBytes({ signal }),
      () => manager.totalOciCacheBytes({ signal }),
      () => manager.cancelBuild(1, { signal }),
      () => openManager({ signal }),
    ];
    for (const call of calls) await expect(call()).rejects.toThrow("enough");
    open();
    await manager.waitForReady("alpine");
  });
});

async function readBlobs(): Promise<string[]> {
  const digests: string[] = [];
  for await (const digest of store.content.blobs()) digests.push(digest);
  return digests.toSorted();
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
