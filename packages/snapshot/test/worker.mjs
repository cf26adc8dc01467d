// A process of its own: `node worker.mjs apply SNAPSHOTS BLOBS TEMPORARY LOG` unpacks the image of BLOBS/layers.json, and appends a line to LOG for each
// blob that it reads; `node worker.mjs cache CACHE ARCHIVES SEED` saves and deletes snapshots until it is killed.
import { appendFileSync, createReadStream, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

import { digestOf } from "@lamella/refs";

import { applyLayers, createApplier, createSnapshotter, createTreeDriver, openBuildCache } from "../dist/node/index.js";

const [task, ...args] = process.argv.slice(2);
await { apply, cache }[task](...args);

async function apply(snapshots, blobs, temporaryDirectory, log) {
  const fetcher = {
    fetch(descriptor) {
      appendFileSync(log, `${descriptor.digest}\n`);
      return createReadStream(join(blobs, descriptor.digest));
    },
  };
  const snapshotter = await createSnapshotter(snapshots, createTreeDriver());
  const layers = JSON.parse(readFileSync(join(blobs, "layers.json"), "utf8"));
  writeSync(1, "ready\n");
  writeSync(1, `${await applyLayers(layers, snapshotter, createApplier(fetcher), { temporaryDirectory })}\n`);
  await snapshotter[Symbol.asyncDispose]();
}

async function cache(directory, archives, seed) {
  const opened = await openBuildCache(directory);
  const diffIDs = JSON.parse(readFileSync(join(archives, "diff-ids.json"), "utf8"));
  const key = (number) => digestOf(new TextEncoder().encode(`key ${number}`));
  writeSync(1, "ready\n");
  for (let number = Number(seed); ; number++) {
    const layers = diffIDs.filter((_, index) => ((number * 7) >> index) % 2 === 1);
    const archive = async (diffID) => join(archives, String(diffIDs.indexOf(diffID)));
    await opened.save(key(number % 3), { layers }, { archive });
    if (number % 2 === 0) await opened.delete(key((number + 1) % 3));
  }
}
