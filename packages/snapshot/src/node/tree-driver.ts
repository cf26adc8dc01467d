import { openLayer } from "@lamella/layer-format/node";

import type { SnapshotDriver, SnapshotPlace } from "../driver.js";
import { checkoutMount } from "./checkout-mount.js";
import { leaveCheckouts, refuseCheckedOut } from "./checkout-state.js";
import { measureDirectory } from "./disk-usage.js";
import { removeLeftovers } from "./snapshot-content.js";
import {
  addArchive,
  archivesDirectory,
  createArchives,
  isRebased,
  listArchives,
  openArchiveTree,
} from "./tree-driver-archives.js";
import { differenceLayer } from "./tree-difference-layer.js";

/**
 * Snapshots are layer archives, merged when they are read: nothing is unpacked, nobody has to be root, and every owner, device and attribute is kept
 * whatever the file system can hold. An applied layer takes up what its archive does, and nothing where `archive` names one on the same file system:
 * its files are linked.
 *
 * A mount of it is a `checkout`: `createCheckoutMounter`, and `createMounter` too, unpack what the snapshot shows into a directory, and make a further archive of
 * what was changed there when it is unmounted. Until then the snapshot is as it was, and can be neither committed nor applied to.
 */
export function createTreeDriver(): SnapshotDriver {
  return {
    name: "tree",

    async create(place) {
      if (place.kind === "active") await createArchives(place);
    },

    async mounts(place) {
      return [checkoutMount(place)];
    },

    async openTree(place, options) {
      return openArchiveTree(chainOf(place), options);
    },

    async openChanges(place, options) {
      const own = await listArchives(place.directory);
      const [only] = own;
      if (only !== undefined && own.length === 1) return openLayer(only, options);
      await using lower = await openArchiveTree(place.parents, options);
      return await differenceLayer(lower, await openArchiveTree(chainOf(place), options), options);
    },

    async apply(place, tar, options) {
      await refuseCheckedOut(place.directory, "apply a layer to");
      await removeLeftovers(place.directory);
      return addArchive(place, tar, options);
    },

    async usage({ directory, kind }, options) {
      return kind === "view" ? { bytes: 0, inodes: 0 } : measureDirectory(archivesDirectory(directory), options);
    },

    async commit(place, options) {
      options.signal?.throwIfAborted();
      await refuseCheckedOut(place.directory, "commit");
      await removeLeftovers(place.directory);
      if (!(await isRebased(place))) return;
      await using _ = await openArchiveTree(chainOf(place), options);
    },

    async release({ directory }) {
      await leaveCheckouts(directory);
    },
  };
}

function chainOf({ parents, directory }: SnapshotPlace): string[] {
  return [...parents, directory];
}
