import { realpath } from "node:fs/promises";
import { join } from "node:path";

import type { Layer } from "@lamella/layer-format";
import { type CallOptions, quote } from "@lamella/refs";

import type { SnapshotDriver, SnapshotPlace } from "../driver.js";
import { SnapshotError } from "../errors.js";
import type { Mount } from "../mount.js";
import { withArrivingLayer } from "./applied-layer.js";
import { measureDirectory } from "./disk-usage.js";
import {
  addImage,
  createImages,
  type ErofsImages,
  type ImageFormat,
  imagesDirectory,
  listImages,
  openImages,
} from "./erofs-driver-images.js";
import { createUpper, openUpper, removeUpper, workPath } from "./erofs-driver-upper.js";
import { listMountsBelow } from "./mount-table.js";
import { refuseNullDevices } from "./overlay-driver.js";
import { lowerdirOption } from "./overlay-options.js";
import { contentPath, removeLeftovers } from "./snapshot-content.js";
import { runTool } from "./tool-process.js";
import { mergeOpened } from "./tree-driver-archives.js";
import { differenceLayer } from "./tree-difference-layer.js";

export interface ErofsDriverOptions {
  readonly images: ErofsImages;
  /** Whether overlayfs keeps its marks in xattrs `user.overlay.*`; false by default, for `trusted.overlay.*`. */
  readonly userXattr?: boolean;
}

/**
 * Every layer is an EROFS image, mounted read-only through a loop device; overlayfs lays them on each other, with a directory on top for what is written. Applying a
 * layer writes its image and unpacks nothing; committing makes an image of what was written. Reading needs no mount.
 *
 * Needs root to mount; Linux 5.4 and later with EROFS; a file system with extended attributes; tar and getfattr. What an overlay cannot show, a device 0:0, is refused.
 * A snapshot that was made on no parent cannot be given one at its commit.
 */
export function createErofsDriver({ images, userXattr = false }: ErofsDriverOptions): SnapshotDriver {
  const format: ImageFormat = { images, xattrs: userXattr ? "user" : "trusted" };
  const kept = userXattr ? ["userxattr", "index=off"] : ["index=off", "redirect_dir=off"];

  return {
    name: "erofs",
    rebases: false,

    async create({ directory, kind, parents }, options) {
      await createImages(directory);
      const images = await listImages(parents);
      if (kind === "view" && images.length > 0) return;
      await using stack = await openStack(images.slice(-1), format, options);
      await createUpper(directory, stack.layers.at(-1), options);
    },

    async mounts(place) {
      return listMounts(place, { images: await listImages([...place.parents, place.directory]), kept });
    },

    async openTree({ directory, parents }, options) {
      const layers = await openAll([...parents, directory], directory, options);
      return mergeOpened(layers, options);
    },

    async openChanges({ directory, parents }, options) {
      const own = await openAll([directory], directory, options, await listImages(parents));
      const [only] = own;
      if (only !== undefined && own.length === 1) return only;
      for (const layer of own) await layer[Symbol.asyncDispose]();
      await using lower = await mergeOpened(await openImages(await listImages(parents), format, options), options);
      const upper = await mergeOpened(await openAll([...parents, directory], directory, options), options);
      return await differenceLayer(lower, upper, options);
    },

    async apply(place, tar, options) {
      const { directory } = place;
      const { signal } = options;
      await removeLeftovers(directory);
      return withArrivingLayer({ tar, directory }, options, async (layer) => {
        refuseNullDevices(layer);
        await writeUpper(place, { signal });
        await using stack = await openStack(await listImages([...place.parents, directory]), format, { signal });
        await addImage(directory, { layer, below: stack.layers }, { ...format, signal });
        await using made = await openStack((await listImages([directory])).slice(-1), format, {});
        await createUpper(directory, made.layers.at(-1), {});
      });
    },

    async usage({ directory, kind }, options) {
      if (kind === "view") return { bytes: 0, inodes: 0 };
      const written = await measureDirectory(imagesDirectory(directory), options);
      const upper =
        kind === "active" ? await measureDirectory(contentPath(directory), options).catch(noneThere) : NOTHING;
      return { bytes: written.bytes + upper.bytes, inodes: written.inodes + upper.inodes };
    },

    async commit(place, options) {
      await removeLeftovers(place.directory);
      await writeUpper(place, options);
      await removeUpper(place.directory);
    },

    async release({ directory }) {
      const place = await realpath(directory).catch(orMissing);
      const mounted = place === undefined ? [] : await listMountsBelow(place);
      for (const path of mounted.toReversed()) await unmount(Buffer.from(path, "latin1").toString());
    },
  };

  /** The images of snapshots, and what one of them has in its upper directory on top. */
  async function openAll(
    snapshots: readonly string[],
    active: string,
    options: CallOptions,
    lower: readonly string[] = [],
  ): Promise<Layer[]> {
    const paths = await listImages(snapshots);
    const layers = await openImages(paths, format, options);
    try {
      await using beneath = await openStack(paths.length === 0 ? lower.slice(-1) : [], format, options);
      const below = layers.at(-1) ?? beneath.layers.at(-1);
      const upper = await openUpper(active, { below, xattrs: format.xattrs, ...options });
      return upper === undefined ? layers : [...layers, upper];
    } catch (error) {
      for (const layer of layers) await layer[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Makes an image of what the upper directory says, if it says anything. What it has stays, and changes nothing on top of its image. */
  async function writeUpper({ directory, parents }: SnapshotPlace, { signal }: CallOptions): Promise<void> {
    await using stack = await openStack(await listImages([...parents, directory]), format, { signal });
    const upper = await openUpper(directory, { below: stack.layers.at(-1), xattrs: format.xattrs, signal });
    if (upper === undefined) return;
    try {
      await addImage(directory, { layer: upper, below: stack.layers }, { ...format, signal });
    } finally {
      await upper[Symbol.asyncDispose]();
    }
  }
}

const NOTHING = { bytes: 0, inodes: 0 };

interface LayerStack extends AsyncDisposable {
  readonly layers: readonly Layer[];
}

async function openStack(paths: readonly string[], format: ImageFormat, options: CallOptions): Promise<LayerStack> {
  const layers = await openImages(paths, format, options);
  return {
    layers,
    async [Symbol.asyncDispose]() {
      for (const layer of layers) await layer[Symbol.asyncDispose]();
    },
  };
}

/** @param images the lowest first */
function listMounts(
  place: SnapshotPlace,
  { images, kept }: { images: readonly string[]; kept: readonly string[] },
): Mount[] {
  const { directory, kind } = place;
  const isView = kind === "view";
  const mountOf = (source: string): Mount => ({ type: "erofs", source, options: ["ro", "loop"] });
  const [first] = images;
  if (first === undefined) {
    return [{ type: "bind", source: contentPath(directory), options: [isView ? "ro" : "rw", "rbind"] }];
  }
  if (isView && images.length === 1) return [mountOf(first)];
  const lower = images.map((source, index) => ({
    ...mountOf(source),
    target: join(directory, "lower", String(index)),
  }));
  const upper = isView ? ["ro"] : ["rw", `workdir=${workPath(directory)}`, `upperdir=${contentPath(directory)}`];
  const lowerdir = lowerdirOption(lower.map(({ target }) => target).toReversed());
  return [...lower, { type: "overlay", source: "overlay", options: [...upper, lowerdir, ...kept] }];
}

async function unmount(path: string): Promise<void> {
  const { exitCode } = await runTool("umount", { parameters: ["--", path] });
  if (exitCode === 0) return;
  // It goes when the last one lets go of it.
  const { exitCode: detached, words } = await runTool("umount", { parameters: ["--lazy", "--", path] });
  if (detached !== 0) throw new SnapshotError("mount_failed", `cannot unmount ${quote(path)}: ${words}`);
}

function noneThere(error: NodeJS.ErrnoException): typeof NOTHING {
  if (error.code !== "ENOENT") throw error;
  return NOTHING;
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
