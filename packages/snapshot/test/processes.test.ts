import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { writeLayer } from "@lamella/layer-format/node";
import { startWorker } from "@lamella/presets/worker-process";
import type { Digest } from "@lamella/refs";
import { describe, expect, it } from "vitest";

import { layerTar } from "../src/conformance/layer-tar.js";
import { chainID, type DescribedLayer } from "../src/index.js";
import { createSnapshotter, createTreeDriver, openBuildCache } from "../src/node/index.js";
import { memoryContent, putLayers } from "./image-layers.js";
import { temporaryDirectory } from "./temporary.js";

const WORKER = new URL("worker.mjs", import.meta.url);

interface Workplace {
  readonly layers: readonly DescribedLayer[];
  readonly snapshots: string;
  readonly temporary: string;
  readonly log: string;
  readonly args: readonly string[];
}

async function prepareWorkplace(count: number): Promise<Workplace> {
  const directory = await temporaryDirectory();
  const content = memoryContent();
  const specs = Array.from({ length: count }, (_, index) => [
    { path: `file-${index}`, content: "x".repeat(100_000 * (1 + (index % 3))) },
    { path: "same", content: String(index) },
  ]);
  const layers = await putLayers(content, specs);
  const [blobs, snapshots, temporary] = ["blobs", "snapshots", "temporary"].map((name) => join(directory, name));
  await mkdir(blobs!);
  await mkdir(temporary!);
  for (const [digest, bytes] of content.blobs) await writeFile(join(blobs!, digest), bytes);
  await writeFile(join(blobs!, "layers.json"), JSON.stringify(layers));
  const log = join(directory, "log");
  await writeFile(log, "");
  const args = ["apply", snapshots!, blobs!, temporary!, log];
  return { layers, snapshots: snapshots!, temporary: temporary!, log, args };
}

async function expectWhole({ layers, snapshots, temporary }: Workplace): Promise<void> {
  await using snapshotter = await createSnapshotter(snapshots, createTreeDriver());
  await snapshotter.cleanup();
  const names: string[] = [];
  for await (const { name, kind } of snapshotter.walk()) {
    expect(kind).toBe("committed");
    names.push(name);
  }
  expect(names).toHaveLength(layers.length);
  await using tree = await snapshotter.openTree(chainID(layers.map(({ diffID }) => diffID)) as string);
  let entries = 0;
  for await (const _ of tree.entries()) entries++;
  expect(entries).toBe(layers.length + 2);
  expect(await readdir(join(snapshots, "snapshots"))).toHaveLength(layers.length);
  expect(await readdir(temporary)).toEqual([]);
}

describe("applyLayers() in several processes", () => {
  it("unpacks an image once when eight come at the same time", { timeout: 120_000 }, async () => {
    const workplace = await prepareWorkplace(4);
    const workers = Array.from({ length: 8 }, () => startWorker(WORKER, ...workplace.args));
    const said = await Promise.all(workers.map(({ ended }) => ended));
    const top = chainID(workplace.layers.map(({ diffID }) => diffID));
    for (const text of said) expect(text).toBe(`ready\n${top}\n`);
    const read = (await readFile(workplace.log, "utf8")).trim().split("\n");
    expect(read.toSorted()).toEqual(workplace.layers.map(({ descriptor }) => descriptor.digest).toSorted());
    await expectWhole(workplace);
  });

  it("goes on where processes were killed, and leaves nothing of them", { timeout: 120_000 }, async () => {
    const workplace = await prepareWorkplace(6);
    for (const delay of [5, 20, 40, 80, 120]) {
      const worker = startWorker(WORKER, ...workplace.args);
      const waiting = startWorker(WORKER, ...workplace.args);
      await Promise.all([worker.ready, waiting.ready]);
      await sleep(delay);
      await worker.kill();
      await waiting.kill();
    }
    const last = startWorker(WORKER, ...workplace.args);
    await last.ended;
    await expectWhole(workplace);
  });
});

describe("openBuildCache() in several processes", () => {
  it("has every layer of what it has saved, whoever is killed", { timeout: 120_000 }, async () => {
    const directory = await temporaryDirectory();
    const archives = await temporaryDirectory();
    const diffIDs: Digest[] = [];
    for (let number = 0; number < 4; number++) {
      const tar = await layerTar([{ path: `file-${number}`, content: String(number) }]);
      diffIDs.push((await writeLayer(join(archives, String(number)), once(tar))).diffID);
    }
    await writeFile(join(archives, "diff-ids.json"), JSON.stringify(diffIDs));
    const worker = (seed: number) => startWorker(WORKER, "cache", directory, archives, String(seed));
    for (const seed of [1, 2, 3]) {
      const workers = [worker(seed), worker(seed + 10)];
      await Promise.all(workers.map(({ ready }) => ready));
      await sleep(150 * seed);
      for (const { kill } of workers) await kill();
      await using cache = await openBuildCache(directory);
      for await (const { key } of cache.list()) {
        await using _ = await cache.openTree(key);
      }
    }
    await using cache = await openBuildCache(directory);
    await cache.cleanup();
    const named = new Set<Digest>();
    for await (const { layers } of cache.list()) for (const diffID of layers) named.add(diffID);
    expect(await readdir(join(directory, "layers"))).toHaveLength(named.size);
  });
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
