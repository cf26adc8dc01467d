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
  const openParents = rememberChain(openOne);

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
      const below = await openParents(place.parents, options);
      const isParents = place.kind === "view" && below.length > 0;
      return mergeLayers(isParents ? below : [...below, await openOne(place.directory, options)], options);
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
        const below = await openParents(place.parents, { signal });
        await using own = await openOne(directory, { signal });
        const write = async (changes: Layer, lower: readonly Layer[]): Promise<void> => {
          await using tree = await overlayTree(lower, changes, { xattrs, signal });
          await replaceContent(directory, async (upper) => {
            await unpackTree(tree, upper, { signal, durable: true });
          });
        };
        const isFresh = own.entries.every(({ path }) => path === "");
        if (isFresh) await write(layer, [...below, own]);
        else await joinLayers({ below, own, layer, directory }, { signal }, (joined) => write(joined, below));
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

type OpenDirectories = (directories: readonly string[], options: CallOptions) => Promise<Layer[]>;

/**
 * Opens the layers of committed snapshots, which nobody has to close. Those of the last chain are remembered, some 300 bytes a name, as the next layer is
 * mostly applied to the same one: they do not change, and hold nothing open.
 */
function rememberChain(open: (directory: string, options: CallOptions) => Promise<Layer>): OpenDirectories {
  let known = new Map<string, Layer>();
  return async (directories, options) => {
    const chain = new Map<string, Layer>();
    for (const directory of directories) {
      const layer = known.get(directory) ?? (await open(directory, options));
      chain.set(directory, { ...layer, [Symbol.asyncDispose]: () => Promise.resolve() });
    }
    known = chain;
    return [...chain.values()];
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
