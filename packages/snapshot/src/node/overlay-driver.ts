import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { displayPath, type Layer, layerFromOverlay, mergeLayers, overlayTree } from "@lamella/layer-format";
import { openDirectoryTree, unpackTree } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";

import type { SnapshotDriver, SnapshotPlace } from "../driver.js";
import { SnapshotError } from "../errors.js";
import type { Mount } from "../mount.js";
import { withArrivingLayer } from "./applied-layer.js";
import { copyAttributes } from "./directory-attributes.js";
import { measureDirectory } from "./disk-usage.js";
import { syncFileSystem } from "./file-system-sync.js";
import { openLayers } from "./layer-stack.js";
import { lowerdirOption } from "./overlay-options.js";
import { contentPath, removeLeftovers, replaceContent } from "./snapshot-content.js";
import { joinLayers } from "./joined-layers.js";

export interface OverlayDriverOptions {
  /** Whether overlayfs keeps its marks in xattrs `user.overlay.*`, as it has to in a user namespace; false by default, for `trusted.overlay.*`. */
  userXattr?: boolean;
}

/**
 * Snapshots are the upper directories of the kernel's overlayfs, in `fs/`, mounted as containerd's overlay snapshotter does it: a bind mount for a
 * snapshot on nothing and for a view of one directory, an overlay for everything else. Reading and applying need no mount.
 *
 * Needs root, or a user namespace with `userXattr`; a file system with extended attributes; tar, getfattr and sync(1). What an overlay cannot
 * show, a device 0:0, is refused.
 */
export function createOverlayDriver({ userXattr = false }: OverlayDriverOptions = {}): SnapshotDriver {
  const xattrs = userXattr ? "user" : "trusted";
  const kept = userXattr ? ["userxattr", "index=off"] : ["index=off", "redirect_dir=off"];

  const openOne = async (directory: string, options: CallOptions): Promise<Layer> => {
    const tree = await openDirectoryTree(contentPath(directory), { xattrs: true, ...options });
    return layerFromOverlay(tree, { xattrs, ...options });
  };
  const openParents = ({ parents }: SnapshotPlace, options: CallOptions): Promise<Layer[]> =>
    openLayers(parents.map((directory) => () => openOne(directory, options)));

  return {
    name: "overlay",

    async create(place, options) {
      const parent = place.parents.at(-1);
      await replaceContent(place.directory, async (directory) => {
        // The root of an overlay is its upper directory's.
        if (parent !== undefined) await copyAttributes(contentPath(parent), directory, options);
      });
      if (place.kind === "active") await mkdir(workPath(place), { mode: 0o711 });
    },

    async mounts(place) {
      return [overlayMount(place, kept)];
    },

    async openTree(place, options) {
      const shown =
        place.kind === "view" && place.parents.length > 0 ? place.parents : [...place.parents, place.directory];
      const layers = await openLayers(shown.map((directory) => () => openOne(directory, options)));
      return mergeLayers(layers, options);
    },

    async openChanges(place, options) {
      return openOne(place.directory, options);
    },

    async apply(place, tar, options) {
      const { signal } = options;
      const { directory } = place;
      await removeLeftovers(directory);
      return withArrivingLayer({ tar, directory }, options, async (layer) => {
        refuseNullDevices(layer);
        const below = await openParents(place, { signal });
        await using own = await openOne(directory, { signal });
        const write = async (changes: Layer, lower: readonly Layer[]): Promise<void> => {
          await using tree = await overlayTree(lower, changes, { xattrs, signal });
          await replaceContent(directory, async (upper) => {
            await unpackTree(tree, upper, { signal, durable: true });
          });
        };
        try {
          const isFresh = own.entries.every(({ path }) => path === "");
          if (isFresh) await write(layer, [...below, own]);
          else await joinLayers({ below, own, layer, directory }, { signal }, (joined) => write(joined, below));
        } finally {
          for (const opened of below) await opened[Symbol.asyncDispose]();
        }
      });
    },

    async usage(place, options) {
      return measureDirectory(contentPath(place.directory), options);
    },

    async commit(place, options) {
      await removeLeftovers(place.directory);
      await syncFileSystem(place.directory, options);
    },
  };
}

function workPath({ directory }: SnapshotPlace): string {
  return join(directory, "work");
}

function overlayMount(place: SnapshotPlace, kept: readonly string[]): Mount {
  const { kind, directory, parents } = place;
  const isView = kind === "view";
  const single = parents.length === 0 ? directory : isView && parents.length === 1 ? parents[0] : undefined;
  if (single !== undefined) {
    return { type: "bind", source: contentPath(single), options: [isView ? "ro" : "rw", "rbind"] };
  }
  const lower = lowerdirOption(parents.map(contentPath).toReversed());
  const upper = isView ? ["ro"] : ["rw", `workdir=${workPath(place)}`, `upperdir=${contentPath(directory)}`];
  return { type: "overlay", source: "overlay", options: [...upper, lower, ...kept] };
}

/** @throws {SnapshotError} `unsupported` for what no overlay can show */
export function refuseNullDevices(layer: Layer): void {
  const found = layer.entries.find(
    ({ kind, deviceMajor, deviceMinor }) => kind === "char" && deviceMajor === 0 && deviceMinor === 0,
  );
  if (found === undefined) return;
  const state = `overlayfs would take device 0:0 for a whiteout; use another driver`;
  throw new SnapshotError("unsupported", `cannot apply a layer with "${displayPath(found.path)}": ${state}`);
}
