import { mkdir, mkdtemp, open, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

import { type Layer, type LayeredTree, mergeLayers } from "@lamella/layer-format";
import { openLayer, readLayer, writeLayer } from "@lamella/layer-format/node";
import { type CallOptions, RefsError } from "@lamella/refs";

import type { AppliedLayer, ApplyOptions } from "../snapshotter.js";
import { INCOMING } from "./applied-layer.js";
import { linkArchive } from "./archive-link.js";
import { isSelfContained } from "./self-contained-layer.js";
import { removeDirectory } from "./snapshot-directory.js";

/*
 * What the tree driver keeps of a snapshot:
 *
 *   <id>/layers/0001/{idx,contents}   layer archives, the lowest first; a snapshot that changes nothing has none
 *   <id>/base                         the ID of the snapshot on which they were checked to fit; empty for none
 *   <id>/incoming-x/                  one on its way in, or left over
 *   <id>/checkouts/                   see checkout-state.ts
 */
const LAYERS = "layers";
const BASE = "base";
const NUMBER = /^\d{4,}$/;

/** A snapshot and those that it stands on. */
export interface ArchiveStack {
  readonly directory: string;
  /** The base first. */
  readonly parents: readonly string[];
}

/** How many archives are opened at once. */
const AT_A_TIME = 8;

/** Makes the place for a snapshot's archives. */
export async function createArchives({ directory, parents }: ArchiveStack): Promise<void> {
  await mkdir(archivesDirectory(directory));
  await writeFile(join(directory, BASE), baseOf(parents));
  await syncFile(join(directory, BASE));
  await syncDirectory(directory);
}

/** Whether the archives of a snapshot were checked on other parents than these. */
export async function isRebased({ directory, parents }: ArchiveStack): Promise<boolean> {
  return (await readFile(join(directory, BASE), "utf8")) !== baseOf(parents);
}

function baseOf(parents: readonly string[]): string {
  return basename(parents.at(-1) ?? "");
}

export function archivesDirectory(snapshot: string): string {
  return join(snapshot, LAYERS);
}

/** A snapshot's own archives, the lowest first. */
export async function listArchives(snapshot: string): Promise<string[]> {
  const directory = archivesDirectory(snapshot);
  const names = await readdir(directory).catch(orMissing);
  const numbers = (names ?? []).filter((name) => NUMBER.test(name)).map(Number);
  return numbers.toSorted((one, other) => one - other).map((number) => archivePath(snapshot, number));
}

/** The archives of snapshots, the lowest first, as one tree, which closes them. */
export async function openArchiveTree(snapshots: readonly string[], options: CallOptions): Promise<LayeredTree> {
  return mergeOpened(await openArchives(await listAllArchives(snapshots), options), options);
}

/** Merges layers, and closes them if that fails. */
export async function mergeOpened(layers: readonly Layer[], { signal }: CallOptions): Promise<LayeredTree> {
  try {
    return await mergeLayers(layers, { signal });
  } catch (error) {
    for (const layer of layers) await layer[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Lays a layer on a snapshot: of `options.archive` if that is given, without reading the tar. Its archive is there, on disk, if the layer is what it
 * should be and can be applied, and else not at all.
 */
export async function addArchive(
  { directory, parents }: ArchiveStack,
  tar: AsyncIterable<Uint8Array>,
  options: ApplyOptions,
): Promise<AppliedLayer> {
  const { archive, diffID, signal } = options;
  signal?.throwIfAborted();
  const own = await listArchives(directory);
  const temporary = await mkdtemp(join(directory, INCOMING));
  try {
    const place = join(temporary, "layer");
    if (archive === undefined) await writeLayer(place, tar, { ...(diffID === undefined ? {} : { diffID }), signal });
    else await linkArchive(archive, place);
    const summary = await summarize(place, { signal });
    if (diffID !== undefined && summary.diffID !== diffID) {
      throw new RefsError("digest_mismatch", `cannot apply layer ${diffID}: the archive is of ${summary.diffID}`);
    }
    await requireFitting(place, { directory, parents }, { signal });
    await rename(place, archivePath(directory, own.length + 1));
    await syncDirectory(archivesDirectory(directory));
    return summary;
  } finally {
    await removeDirectory(temporary);
  }
}

/** @throws {LayerFormatError} `layer_invalid`, `layer_limit` for a layer that cannot be applied */
async function requireFitting(
  archive: string,
  { directory, parents }: ArchiveStack,
  options: CallOptions,
): Promise<void> {
  const layer = await openLayer(archive, options);
  if (isSelfContained(layer)) {
    await using _ = await mergeOpened([layer], options);
    return;
  }
  await layer[Symbol.asyncDispose]();
  const below = await listAllArchives([...parents, directory]);
  await using _ = await mergeOpened(await openArchives([...below, archive], options), options);
}

async function listAllArchives(snapshots: readonly string[]): Promise<string[]> {
  return (await Promise.all(snapshots.map(listArchives))).flat();
}

/** Opens archives, all of them or none. */
async function openArchives(archives: readonly string[], options: CallOptions): Promise<Layer[]> {
  const layers: Layer[] = [];
  for (let start = 0; start < archives.length; start += AT_A_TIME) {
    const some = archives.slice(start, start + AT_A_TIME);
    const results = await Promise.allSettled(some.map((archive) => openLayer(archive, options)));
    for (const result of results) if (result.status === "fulfilled") layers.push(result.value);
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) continue;
    for (const layer of layers) await layer[Symbol.asyncDispose]();
    throw failed.reason;
  }
  return layers;
}

async function summarize(archive: string, options: CallOptions): Promise<AppliedLayer> {
  await using opened = await readLayer(archive, options);
  return { diffID: opened.diffID, uncompressedSize: opened.tarBytes };
}

/** An archive never changes, so that both may be the same files. */

function archivePath(snapshot: string, number: number): string {
  return join(archivesDirectory(snapshot), String(number).padStart(4, "0"));
}

const syncDirectory = syncFile;

async function syncFile(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
