import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

import { checkImageStore, openImageStore } from "@lamella/image-store";
import type { ImageStore } from "@lamella/image-store";
import { openDockerArchive, openOciLayout } from "@lamella/oci-client";
import type { Digest } from "@lamella/refs";

import { BEFORE, convert, OPERATIONS, performIn, pull } from "./operations.js";
import type { Names, Place } from "./operations.js";
import { runWorker } from "./run-worker.js";
import { scratchDirectory } from "./scratch-directory.js";
import { ARCHIVED_NAME, IMAGES, makeSampleImages } from "./sample-images.js";
import type { SamplePaths } from "./sample-images.js";
import { CALLS, readTrace } from "./shim.js";
import type { TracedCall } from "./shim.js";
import { knowNothing, readAll, strayFiles } from "./stored-files.js";
import type { KnownContents } from "./stored-files.js";

/** How an operation goes when nothing is in its way. */
export interface Rehearsal {
  readonly calls: readonly TracedCall[];
  readonly ms: number;
}

/** Images, a store to begin with, and what everything in it is to be. */
export interface Bench extends Disposable {
  readonly images: string;
  readonly known: KnownContents;
  readonly rehearsals: ReadonlyMap<string, Rehearsal>;
  /** A copy of the store; whoever asked removes its directory. */
  freshStore(parent?: string): Promise<Place & { readonly directory: string }>;
  /** What names stand for after an operation, or before any. */
  namesAfter(operation?: string): Map<string, Digest>;
}

/** Makes a bench, with a rehearsal of each of these operations, which is looked at as closely as what follows. */
export async function prepareBench(operations: readonly string[] = Object.keys(OPERATIONS)): Promise<Bench> {
  const root = scratchDirectory("bench");
  try {
    const images = join(root, "images");
    mkdirSync(images);
    const paths = await makeSampleImages(images);
    const template = join(root, "template");
    await fillTemplate(template, images);
    const digests = await digestsOf(paths);
    const rehearsals = new Map<string, Rehearsal>();
    const bench: Bench = {
      images,
      known: knowNothing(),
      rehearsals,
      async freshStore(parent = root) {
        const directory = mkdtempSync(join(parent, "store-"));
        const store = join(directory, "store");
        cpSync(template, store, { recursive: true, preserveTimestamps: true });
        // index.json is another file now
        await (await openImageStore(store))[Symbol.asyncDispose]();
        return { store, images, directory };
      },
      namesAfter(operation) {
        const wanted: Names = { ...BEFORE, ...(operation === undefined ? {} : OPERATIONS[operation]?.after) };
        const names = Object.entries(wanted).filter(([, image]) => image !== undefined);
        return new Map(names.map(([name, image]) => [name, digests.get(name) ?? digests.get(image!)!]));
      },
      [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
    };
    for (const operation of operations) rehearsals.set(operation, await rehearse(bench, operation));
    return bench;
  } catch (error) {
    rmSync(root, { recursive: true, force: true });
    throw error;
  }
}

/** Of the images, and of what an archive has under its own name. */
async function digestsOf({ layout, dockerArchive }: SamplePaths): Promise<Map<string, Digest>> {
  const images = await openOciLayout(layout);
  const digests = new Map<string, Digest>();
  for (const name of IMAGES) digests.set(name, (await images.resolve(name)).digest);
  await using archive = await openDockerArchive(dockerArchive);
  return digests.set(ARCHIVED_NAME, (await archive.resolve("")).digest);
}

/** Two images, one with a disk; and garbage: what belonged to an image that was removed, with its disk. */
async function fillTemplate(directory: string, images: string): Promise<void> {
  await using store = await openImageStore(directory);
  await convert(store, images, { image: "a", as: "one", disk: { format: "ext4" } });
  await pull(store, images, "b", "two");
  await store.tag("docker.io/library/two-too:latest", "two");
  await convert(store, images, { image: "f", as: "gone", disk: { format: "erofs" } });
  await store.remove("gone");
}

async function rehearse(bench: Bench, operation: string): Promise<Rehearsal> {
  const place = await bench.freshStore();
  try {
    const trace = join(place.directory, "trace");
    const { acknowledged, error, ms } = await runWorker(operation, place, {
      shim: { directory: place.store, trace, calls: CALLS },
    });
    if (!acknowledged) throw new Error(`cannot rehearse ${operation}: ${error?.stack}`);
    await requireSound(bench, place, operation);
    await requireTidy(bench, place, operation);
    return { calls: readTrace(trace), ms };
  } finally {
    rmSync(place.directory, { recursive: true });
  }
}

/** That a check finds nothing, and all that names lead to is whole and what it was. Gives the names. */
export async function requireIntact(bench: Bench, directory: string): Promise<Map<string, Digest>> {
  for await (const { kind, subject, problem } of checkImageStore(directory)) {
    throw new Error(`check: ${kind} ${subject}: ${problem}`);
  }
  await using store = await openImageStore(directory);
  return await readAll(store, bench.known);
}

/** And that the names are those after an operation. */
async function requireSound(bench: Bench, place: Place, operation: string): Promise<void> {
  const found = await requireIntact(bench, place.store);
  const wanted = bench.namesAfter(operation);
  if (!sameNames(found, wanted)) throw new Error(`names are ${said(found)}, not ${said(wanted)}`);
}

/** Does the operation once more, or for the first time, and that nothing but what is needed stays when garbage has been collected. */
export async function requireTidy(bench: Bench, place: Place, operation: string): Promise<void> {
  await performIn(place, operation, () => {});
  await withStore(place.store, (store) => store.gc({ graceMs: 0 }));
  await requireSound(bench, place, operation);
  const stray = await strayFiles(place.store);
  if (stray.length > 0) throw new Error(`garbage collection has left ${stray.join(", ")}`);
}

async function withStore<Result>(directory: string, use: (store: ImageStore) => Promise<Result>): Promise<Result> {
  await using store = await openImageStore(directory);
  return await use(store);
}

export function sameNames(one: ReadonlyMap<string, Digest>, other: ReadonlyMap<string, Digest>): boolean {
  return one.size === other.size && [...one].every(([name, digest]) => other.get(name) === digest);
}

function said(names: ReadonlyMap<string, Digest>): string {
  return [...names].map(([name, digest]) => `${name}=${digest.slice(7, 15)}`).join(" ");
}
