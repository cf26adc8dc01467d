import { mkdir, mkdtemp, open, readdir, rename } from "node:fs/promises";
import { join } from "node:path";

import { type FileTree, type Layer, layerFromOverlay, overlayTree, type OverlayXattrs } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { INCOMING } from "./applied-layer.js";
import { openLayers } from "./layer-stack.js";
import { removeDirectory } from "./snapshot-directory.js";

/*
 * What the EROFS driver keeps of a snapshot:
 *
 *   <id>/layers/0001.erofs   images of overlay layers, the lowest first
 *   <id>/fs, <id>/work       an active snapshot's upper directory (see snapshot-content.ts) and what overlayfs needs beside it
 *   <id>/lower/0, 1 …        where the images of the parents and its own are mounted while the snapshot is
 */
const IMAGES = "layers";
const IMAGE = /^(\d{4,})\.erofs$/;

/** How EROFS images are made and read: `@lamella/disk-export` can do both. */
export interface ErofsImages {
  /** Writes a file that is not there yet. Character devices 0:0 and xattrs of overlayfs are kept as they are. */
  write(tree: FileTree, path: string, options: CallOptions): Promise<void>;
  open(path: string, options: CallOptions): Promise<FileTree>;
}

export interface ImageFormat {
  readonly images: ErofsImages;
  readonly xattrs: OverlayXattrs;
}

export function imagesDirectory(snapshot: string): string {
  return join(snapshot, IMAGES);
}

export async function createImages(snapshot: string): Promise<void> {
  await mkdir(imagesDirectory(snapshot));
}

/** The images of snapshots, the lowest first. */
export async function listImages(snapshots: readonly string[]): Promise<string[]> {
  const lists = await Promise.all(snapshots.map(listOwn));
  return lists.flat();
}

/** Opens images as layers, all of them or none. */
export async function openImages(
  paths: readonly string[],
  format: ImageFormat,
  options: CallOptions,
): Promise<Layer[]> {
  return openLayers(paths.map((path) => () => openImage(path, format, options)));
}

/** Makes a layer the topmost image of a snapshot, on disk, or not at all. All layers stay the caller's. */
export async function addImage(
  snapshot: string,
  { layer, below }: { layer: Layer; below: readonly Layer[] },
  { images, xattrs, signal }: ImageFormat & CallOptions,
): Promise<void> {
  const own = await listOwn(snapshot);
  const temporary = await mkdtemp(join(snapshot, INCOMING));
  try {
    const path = join(temporary, "image");
    await using tree = await overlayTree(below, layer, { xattrs, signal });
    await images.write(tree, path, { signal });
    await synchronize(path);
    signal?.throwIfAborted();
    await rename(path, imagePath(snapshot, own.length + 1));
    await synchronize(imagesDirectory(snapshot));
  } finally {
    await removeDirectory(temporary);
  }
}

async function openImage(path: string, { images, xattrs }: ImageFormat, options: CallOptions): Promise<Layer> {
  const tree = await images.open(path, options);
  try {
    return await layerFromOverlay(tree, { xattrs, ...options });
  } catch (error) {
    await tree[Symbol.asyncDispose]();
    throw error;
  }
}

async function listOwn(snapshot: string): Promise<string[]> {
  const names = (await readdir(imagesDirectory(snapshot)).catch(orMissing)) ?? [];
  const numbers = names.flatMap((name) => IMAGE.exec(name)?.[1] ?? []).map(Number);
  return numbers.toSorted((one, other) => one - other).map((number) => imagePath(snapshot, number));
}

function imagePath(snapshot: string, number: number): string {
  return join(imagesDirectory(snapshot), `${String(number).padStart(4, "0")}.erofs`);
}

async function synchronize(path: string): Promise<void> {
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
