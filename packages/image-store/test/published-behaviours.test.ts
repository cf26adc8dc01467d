/**
 * What the tests say that were published with hypeman's image manager (lib/images) and matchlock's image store (pkg/image), said of ours,
 * where no other test here says it.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { copyImage, createRegistryClient } from "@lamella/oci-client";
import type { RegistryClient } from "@lamella/oci-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { keepDisks } from "../src/disk-cache.js";
import { withHeldImage } from "../src/held-image.js";
import { openDestination, openSource } from "../src/image-location.js";
import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import { createImageManager } from "../src/manager.js";
import type { ImageManager } from "../src/manager.js";
import { pullImage } from "../src/pull.js";
import type { PullOptions } from "../src/pull.js";
import type { ListedImage } from "../src/stored-image.js";
import { sampleSource } from "./sample-image.js";
import type { SampleOptions, SampleSource } from "./sample-image.js";

const platform = { os: "linux", architecture: "amd64" };
const ALPINE = "docker.io/library/alpine:latest";
const BASE = { path: "base", text: "what several images are made from" };
const asked = { platform, disk: { format: "erofs" } } as const;

let directory = "";
let store: ImageStore;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "published-"));
  store = await openImageStore(join(directory, "store"));
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

async function pull(name: string, of: SampleOptions = {}, how: Partial<PullOptions> = {}): Promise<SampleSource> {
  const source = await sampleSource(of);
  await pullImage(store, source, "latest", { platform, name, ...how });
  return source;
}

async function list(filter = {}): Promise<ListedImage[]> {
  const images: ListedImage[] = [];
  for await (const image of store.list(filter)) images.push(image);
  return images;
}

async function blobCount(): Promise<number> {
  let count = 0;
  for await (const _ of store.content.blobs()) count++;
  return count;
}

describe("a manager, as hypeman's", () => {
  const images = new Map<string, SampleSource>();
  let manager: ImageManager;
  beforeEach(async () => {
    images.clear();
    const sources = async (name: string) => ({ images: images.get(name)!, name, close: async () => {} });
    manager = await createImageManager(store, { sources });
  });
  afterEach(() => manager[Symbol.asyncDispose]());

  async function serve(name: string, options: SampleOptions): Promise<SampleSource> {
    const source = await sampleSource(options);
    images.set(name, source);
    return source;
  }

  it("lists nothing at first, then an image with how it runs and what its disk takes", async () => {
    expect(await manager.listImages()).toEqual([]);
    const run = { Entrypoint: ["/app"], Cmd: ["serve"], Env: ["PATH=/bin"], WorkingDir: "/srv" };
    await serve(ALPINE, { run });
    await manager.createImage("alpine", asked);
    const { built } = await manager.waitForReady("alpine");
    const config = { entrypoint: ["/app"], cmd: ["serve"], env: ["PATH=/bin"], workingDir: "/srv" };
    expect(built).toMatchObject({ config, isSystemdImage: false, sizeBytes: statSync(built!.disks[0]!.path).size });
    expect(await manager.listImages()).toMatchObject([{ name: ALPINE, status: "ready" }]);
  });

  it("has another image for another tag of the same repository", async () => {
    await serve(ALPINE, {});
    await serve("docker.io/library/alpine:3.18", { layers: [BASE] });
    await manager.createImage("alpine", asked);
    await manager.createImage("alpine:3.18", asked);
    const [one, other] = [await manager.waitForReady("alpine"), await manager.waitForReady("alpine:3.18")];
    expect(one.digest).not.toBe(other.digest);
    expect(one.built!.disks[0]!.path).not.toBe(other.built!.disks[0]!.path);
  });

  it("adds no blob for an image that is asked for again by its digest, and has one disk of both", async () => {
    const source = await serve(ALPINE, {});
    const byDigest = `docker.io/library/alpine@${source.root.digest}`;
    images.set(byDigest, source);
    await manager.createImage("alpine", asked);
    const one = await manager.waitForReady("alpine");
    const count = await blobCount();
    await manager.createImage(byDigest, asked);
    const other = await manager.waitForReady(byDigest);
    expect(await blobCount()).toBe(count);
    expect(other).toMatchObject({ digest: one.digest, built: { disks: one.built!.disks } });
  });

  it("finds no name that was deleted, whose disk and blobs stay until garbage is collected", async () => {
    await serve(ALPINE, {});
    await manager.createImage("alpine", asked);
    const { built } = await manager.waitForReady("alpine");
    const count = await blobCount();
    await manager.deleteImage("alpine");
    await expect(manager.getImage("alpine")).rejects.toMatchObject({ code: "not_found" });
    await expect(manager.deleteImage("alpine")).rejects.toMatchObject({ code: "not_found" });
    expect(await blobCount()).toBe(count);
    expect(statSync(built!.disks[0]!.path).isFile()).toBe(true);
    await store.gc({ graceMs: 0 });
    expect(await blobCount()).toBe(0);
    expect(() => statSync(built!.disks[0]!.path)).toThrow("ENOENT");
  });
});

describe("a store, as matchlock's", () => {
  it("keeps how an image runs, variables without a value or without an equals sign too", async () => {
    const Env = ["PATH=/usr/bin", "FOO=bar=baz", "EMPTY=", "NOEQUALS"];
    const run = { User: "nobody", WorkingDir: "/app", Entrypoint: ["python3"], Cmd: ["app.py"], Env };
    await pull("app", { run });
    const config = { user: "nobody", workingDir: "/app", entrypoint: ["python3"], cmd: ["app.py"], env: Env };
    expect((await store.get("app")).config).toMatchObject(config);
  });

  it("keeps an image that does not say how it runs", async () => {
    await pull("app");
    const { config } = await store.get("app");
    expect([config.user, config.entrypoint, config.cmd, config.env].filter((value) => value?.length)).toEqual([]);
  });

  it("is empty where its directory was not there", async () => {
    await using other = await openImageStore(join(directory, "does", "not", "exist"));
    for await (const image of other.list()) expect.unreachable(image.digest);
    await expect(other.get("nonexistent:tag")).rejects.toMatchObject({ code: "not_found" });
    await expect(other.remove("nonexistent:tag")).rejects.toMatchObject({ code: "not_found" });
  });

  it("counts a layer for each image that has it, until the image is removed", async () => {
    await pull("one", { layers: [BASE, { path: "one", text: "1" }] });
    await pull("two", { layers: [BASE, { path: "two", text: "2" }] });
    const shared = async (): Promise<number[]> => (await store.usage()).images.map(({ sharedBytes }) => sharedBytes);
    const [before] = await shared();
    expect(await shared()).toEqual([before, before]);
    expect(before).toBeGreaterThan(0);
    await store.remove("one");
    expect(await shared()).toEqual([0]);
    const [base] = (await store.get("two")).layers;
    await store.gc({ graceMs: 0 });
    expect(await store.content.stat(base!.descriptor.digest)).toBe(base!.descriptor.size);
  });

  it("lists, gets and removes what came from registries apart from what the user named", async () => {
    expect(await list({ scope: "registry" })).toEqual([]);
    const { root } = await pull("docker.io/library/python:3.12", { layers: [BASE] }, { scope: "registry" });
    await pull("docker.io/library/mine:latest", { layers: [{ path: "a", text: "a" }] });
    const names = async (): Promise<(readonly string[])[]> =>
      (await list({ scope: "registry" })).map((image) => image.names);
    expect(await names()).toEqual([["docker.io/library/python:3.12"]]);
    expect(await store.get("python:3.12")).toMatchObject({
      digest: root.digest,
      layers: [{ diffID: expect.any(String) }],
    });
    expect(await store.remove("python:3.12")).toMatchObject({ names: ["docker.io/library/python:3.12"] });
    expect(await names()).toEqual([]);
    expect((await list()).map((image) => image.names)).toEqual([["docker.io/library/mine:latest"]]);
    await expect(store.remove("python:3.12")).rejects.toMatchObject({ code: "not_found" });
  });

  it("keeps the disk of all layers beside those of each with the image, and collects them after it", async () => {
    const source = await sampleSource({ layers: [BASE, { path: "top", text: "top" }] });
    const image = await pullImage(store, source, "latest", { platform, name: "app" });
    const [squashed] = await keepDisks(store, image, { format: "erofs" });
    const layers = await keepDisks(store, image, { format: "erofs-layers" });
    expect(layers).toHaveLength(2);
    expect((await store.get("app")).disks).toHaveLength(3);
    expect((await store.gc({ graceMs: 0 })).removed).toEqual([]);
    await store.remove("app");
    expect((await store.gc({ graceMs: 0 })).totals.disk.count).toBe(3);
    expect(() => statSync(squashed!.path)).toThrow("ENOENT");
  });

  it("takes the same room when an image gets another name, or is pulled again and again", async () => {
    await pull("app", { layers: [BASE] });
    const [usage, count] = [(await store.usage()).imageBytes, await blobCount()];
    await store.tag("alias", "app");
    for (let time = 0; time < 3; time++) await pull("app", { layers: [BASE] });
    expect([(await store.usage()).imageBytes, await blobCount()]).toEqual([usage, count]);
  });
});

describe("an import from a pipe, as matchlock's", () => {
  let client: RegistryClient;
  beforeEach(() => void (client = createRegistryClient()));
  afterEach(() => client.close());

  async function saved(options: SampleOptions): Promise<Uint8Array> {
    const path = join(directory, "saved.tar");
    await pull("saved", options);
    const destination = await openDestination(`docker-archive:${path}:app:1`, client);
    await withHeldImage(store, "saved", (source) => copyImage(source, destination));
    await destination.commit({});
    await destination.close();
    await store.remove("saved");
    return readFile(path);
  }

  async function importAs(name: string, bytes: Uint8Array): Promise<void> {
    async function* stdin(): AsyncGenerator<Uint8Array> {
      yield bytes;
    }
    const source = await openSource("docker-archive:-", client, { stdin: stdin() });
    try {
      await pullImage(store, source.images, source.name, { platform, name });
    } finally {
      await source.close();
    }
  }

  it("has the layers and the config that were saved", async () => {
    const bytes = await saved({ layers: [BASE, { path: "top", text: "top" }], run: { Cmd: ["/bin/sh"] } });
    await importAs("imported", bytes);
    expect(await store.get("imported")).toMatchObject({ config: { cmd: ["/bin/sh"] }, layers: { length: 2 } });
  });

  it("under a name that there is gives it to the new image", async () => {
    await importAs("imported", await saved({ layers: [BASE] }));
    const before = await store.get("imported");
    await importAs("imported", await saved({ layers: [{ path: "v2", text: "2" }] }));
    expect((await store.get("imported")).digest).not.toBe(before.digest);
    expect((await list()).flatMap(({ names }) => names)).toEqual(["imported"]);
  });

  it.each([
    ["no tar", Buffer.from("not a tarball")],
    ["nothing", Buffer.alloc(0)],
  ])("of %s is refused and leaves nothing", async (_, bytes) => {
    await expect(importAs("imported", bytes)).rejects.toMatchObject({ code: "archive_invalid" });
    expect(await list()).toEqual([]);
    expect(await blobCount()).toBe(0);
  });
});
