import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startWorker } from "@lamella/presets/worker-process";
import { digestOf } from "@lamella/refs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { openImageStore } from "../src/image-store.js";
import type { ImageStore } from "../src/image-store.js";
import { pullImage } from "../src/pull.js";
import { sampleSource } from "./sample-image.js";

const WORKER = new URL("gc-worker.mjs", import.meta.url);
const platform = { os: "linux", architecture: "amd64" };
const NOW = { graceMs: 0 };

let directory = "";
let store: ImageStore;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "image-store-"));
  store = await openImageStore(join(directory, "store"));
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

async function pullSamples(into: ImageStore, count: number): Promise<void> {
  const base = { path: "base", text: "what all are made from" };
  for (let at = 0; at < count; at++) {
    const source = await sampleSource({ layers: [base, { path: "own", text: `${at}` }], index: at % 2 === 0 });
    await pullImage(into, source, "latest", { platform, name: `image-${at}` });
  }
}

async function blobCount(): Promise<number> {
  let count = 0;
  for await (const _ of store.content.blobs()) count++;
  return count;
}

describe("garbage collection by several processes", () => {
  it("never removes what others pull, tag, read and remove meanwhile, which a check finds sound, and leaves nothing", async () => {
    const source = await openImageStore(join(directory, "source"));
    await pullSamples(source, 4);
    await source[Symbol.asyncDispose]();
    const pulls = [1, 2].map(() => startWorker(WORKER, store.directory, "pull", "8", source.directory));
    const collectors = [1, 2].map(() => startWorker(WORKER, store.directory, "gc", "12"));
    const check = startWorker(WORKER, store.directory, "check", "15");
    await Promise.all([...pulls, ...collectors, check].map(({ ended }) => ended));
    await store.gc(NOW);
    expect(await blobCount()).toBe(0);
    expect(await store.tags()).toEqual([]);
  }, 60_000);

  it("counts each blob in one of two that run at once", async () => {
    await pullSamples(store, 6);
    const blobs = await blobCount();
    for (const { name } of await store.tags()) await store.remove(name);
    const collectors = [1, 2].map(() => startWorker(WORKER, store.directory, "gc", "1"));
    const said = await Promise.all(collectors.map(({ ended }) => ended));
    const removed = said.map((text) => Number(/removed (\d+)/.exec(text)?.[1]));
    const archives = 7;
    expect(removed.reduce((sum, count) => sum + count, 0)).toBe(blobs + archives);
    expect(await blobCount()).toBe(0);
  }, 30_000);

  it("leaves what a process holds until that is killed", async () => {
    const bytes = Buffer.from("held");
    const digest = digestOf(bytes);
    await store.content.push({ mediaType: "text/plain", digest, size: bytes.length }, once(bytes));
    const worker = startWorker(WORKER, store.directory, "hold", digest);
    await worker.ready;
    expect((await store.gc(NOW)).removed).toEqual([]);
    await worker.kill();
    expect((await store.gc(NOW)).removed).toEqual([{ kind: "blob", ref: digest, bytes: 4 }]);
  }, 30_000);
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
