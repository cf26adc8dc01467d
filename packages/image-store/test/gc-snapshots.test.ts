import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Digest } from "@lamella/refs";
import type { Snapshotter } from "@lamella/snapshot";
import { applyLayers, createApplier, createSnapshotter, createTreeDriver } from "@lamella/snapshot/node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import { pullImage } from "../src/pull.js";
import { sampleSource } from "./sample-image.js";

const platform = { os: "linux", architecture: "amd64" };
const BASE = { path: "base", text: "what both are made from" };

let directory = "";
let store: ImageStore;
let snapshotter: Snapshotter;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "image-store-"));
  store = await openImageStore(directory);
  snapshotter = await createSnapshotter(join(directory, "snapshots"), createTreeDriver());
});
afterEach(async () => {
  await snapshotter[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

/** Pulls an image of the base and one layer more, and unpacks it. */
async function unpack(name: string): Promise<Digest> {
  const source = await sampleSource({ layers: [BASE, { path: name, text: name }] });
  const image = await pullImage(store, source, "latest", { platform, name });
  return applyLayers(image.layers, snapshotter, createApplier(store.content));
}

async function names(): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of snapshotter.walk()) found.push(name);
  return found.toSorted();
}

const collect = (dryRun = false): Promise<readonly string[]> =>
  store.gc({ graceMs: 0, snapshotter, dryRun }).then(({ snapshots }) => snapshots);

describe("garbage collection of snapshots", () => {
  it("removes what a removed image was unpacked to, but not what another image has as well", async () => {
    const [one, two] = [await unpack("one"), await unpack("two")];
    const before = await names();
    expect(before).toHaveLength(3);
    expect(await collect()).toEqual([]);

    await store.remove("one");
    expect(await collect(true)).toEqual([one]);
    expect(await names()).toEqual(before);
    expect(await collect()).toEqual([one]);
    expect(await names()).toEqual(before.filter((name) => name !== one));

    const { parent: base } = await snapshotter.stat(two);
    await store.remove("two");
    expect(await collect(true)).toEqual([two, base]);
    expect(await collect()).toEqual([two, base]);
    expect(await names()).toEqual([]);
  });

  it("leaves what other snapshots are on, and names of the user's own", async () => {
    const top = await unpack("one");
    await snapshotter.prepare("work", top);
    await snapshotter.prepare("mine-in-the-making");
    await snapshotter.commit("mine", "mine-in-the-making");
    await store.remove("one");
    const before = await names();
    expect(await collect()).toEqual([]);
    expect(await names()).toEqual(before);
    await snapshotter.remove("work");
    expect(await collect()).toHaveLength(2);
    expect(await names()).toEqual(["mine"]);
  });

  it("leaves what is younger than the grace period", async () => {
    await unpack("one");
    await store.remove("one");
    expect(await store.gc({ graceMs: 3_600_000, snapshotter })).toMatchObject({ snapshots: [] });
    expect(await names()).toHaveLength(2);
  });
});
