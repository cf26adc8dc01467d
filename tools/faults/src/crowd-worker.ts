/**
 * One of several processes that use a store at once: `node crowd-worker.js STORE IMAGES SECONDS SEED`. Says what it did as JSON.
 */
import { readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { createRandom } from "@lamella/fuzz";
import { keepDisks, openImageStore, pullImage, withHeldImage } from "@lamella/image-store";
import type { ImageStore } from "@lamella/image-store";
import { copyImage, createOciArchive, openOciLayout } from "@lamella/oci-client";

import { isAllowed } from "./crowd.js";
import type { CrowdReport } from "./crowd.js";
import { errorReport } from "./error-report.js";
import { openManager } from "./operations.js";
import { IMAGES, PLATFORM, samplePaths } from "./sample-images.js";
import { knowNothing, readWhole, sha256 } from "./stored-files.js";

const [directory = "", images = "", seconds = "", seed = ""] = process.argv.slice(2);
const random = createRandom(Number(seed));
const known = knowNothing();
/** The user's own, and those that are a registry's: a manager does not move the first. */
const OWN = Array.from({ length: 5 }, (_, at) => `docker.io/library/own-${at}:latest`);
const BUILT = Array.from({ length: 4 }, (_, at) => `docker.io/library/built-${at}:latest`);
const ALL = [...OWN, ...BUILT];
const FORMATS = ["ext4", "erofs", "erofs-layers", "cpio"] as const;
/** A build that takes so long has been forgotten. */
const BUILD_MS = 60_000;

type Work = (store: ImageStore) => Promise<unknown>;

const WORKS: Readonly<Record<string, Work>> = {
  pull: async (store) =>
    pullImage(store, await openLayout(), random.pick(IMAGES), { platform: PLATFORM, name: random.pick(OWN) }),
  convert,
  tag: (store) => store.tag(random.pick(OWN), random.pick(ALL)),
  untag: (store) => store.untag(random.pick(ALL)),
  remove: (store) => store.remove(random.pick(ALL)),
  gc: (store) => store.gc({ graceMs: 0 }),
  "hold and read": holdAndRead,
  "copy out": copyOut,
};
/** Done more often, so that there is something to remove. */
const OFTEN = ["pull", "convert", "hold and read"] as const;

async function openLayout(): ReturnType<typeof openOciLayout> {
  return openOciLayout(samplePaths(images).layout);
}

async function convert(store: ImageStore): Promise<void> {
  await using manager = await openManager(store, images, random.pick(IMAGES));
  const name = random.pick(BUILT);
  const call = { signal: AbortSignal.timeout(BUILD_MS) };
  await manager.createImage(name, { platform: PLATFORM, disk: { format: random.pick(FORMATS) }, ...call });
  await manager.waitForReady(name, call);
}

/** Under a lease all of an image stays whole, with its disks, whoever removes it meanwhile. */
async function holdAndRead(store: ImageStore): Promise<void> {
  const layout = await openLayout();
  await store.lease("crowd", [], async (lease) => {
    const image = await pullImage(store, layout, random.pick(IMAGES), { platform: PLATFORM, lease, keepBlobs: true });
    const disks = await keepDisks(store, image, { format: random.pick(FORMATS) }, { lease });
    for (let round = 0; round < 2; round++) {
      await readWhole(store, image, known);
      for (const { key, path } of disks) {
        const found = sha256(readFileSync(path));
        if ((known.disks.get(key) ?? found) !== found) throw new Error(`disk ${key} is not what it was`);
        known.disks.set(key, found);
      }
      await sleep(random.below(100));
    }
  });
}

/** Whatever a name stood for when a copy began, all of it is there to its end. */
async function copyOut(store: ImageStore): Promise<void> {
  const path = join(tmpdir(), `lamella-crowd-${process.pid}.tar`);
  try {
    await using archive = await createOciArchive(path);
    await withHeldImage(store, random.pick(ALL), (source) => copyImage(source, { images: archive, name: "copy" }));
    await archive.commit();
  } finally {
    rmSync(path, { force: true });
  }
}

const done: Record<string, number> = {};
const refused: Record<string, number> = {};
const faults: string[] = [];
{
  await using store = await openImageStore(directory);
  const end = Date.now() + Number(seconds) * 1000;
  while (Date.now() < end) {
    const title = random.pick(random.once(2) ? OFTEN : Object.keys(WORKS));
    try {
      await WORKS[title]!(store);
      done[title] = (done[title] ?? 0) + 1;
    } catch (error) {
      const report = errorReport(error);
      const key = `${title}: ${report.code ?? report.name}`;
      refused[key] = (refused[key] ?? 0) + 1;
      if (!isAllowed(report)) faults.push(`${title}: ${report.stack ?? report.message}`);
    }
  }
}
writeSync(1, JSON.stringify({ done, refused, faults } satisfies CrowdReport));
