import { openDirectoryTree, unpackLayer } from "@lamella/layer-format/node";
import { type CallOptions, quote } from "@lamella/refs";

import type { SnapshotDriver, SnapshotPlace } from "../driver.js";
import { SnapshotError } from "../errors.js";
import { withArrivingLayer } from "./applied-layer.js";
import { measureDirectory } from "./disk-usage.js";
import { contentPath, removeLeftovers, replaceContent } from "./snapshot-content.js";
import { syncFileSystem } from "./file-system-sync.js";
import { runTool } from "./tool-process.js";

/**
 * Every active and committed snapshot is a whole copy of its parent, which shares its blocks where the file system can do that (reflinks): it
 * works on any file system, and reading needs no mount. A view is its parent's own directory, mounted read-only. As an ordinary user what is
 * unpacked is that user's, without devices.
 *
 * A snapshot takes up what its copy does. One that was made on no parent keeps none of the removals of its layers, so it cannot be given a
 * parent when it is committed. Needs cp(1) and sync(1) of GNU coreutils, tar and getfattr.
 */
export function createDirectoryDriver(): SnapshotDriver {
  return {
    name: "directory",
    rebases: false,

    async create(place, options) {
      const parent = place.parents.at(-1);
      if (place.kind === "view" && parent !== undefined) return;
      await replaceContent(place.directory, async (directory) => {
        if (parent !== undefined) await copyDirectory(contentPath(parent), directory, options);
      });
    },

    async mounts(place) {
      const access = place.kind === "view" ? "ro" : "rw";
      return [{ type: "bind", source: shownPath(place), options: [access, "rbind"] }];
    },

    async openTree(place, options) {
      return openDirectoryTree(shownPath(place), { xattrs: true, ...options });
    },

    async apply(place, tar, options) {
      const { signal } = options;
      const { directory } = place;
      await removeLeftovers(directory);
      return withArrivingLayer({ tar, directory }, options, async (layer) => {
        await replaceContent(directory, async (copy) => {
          const before = contentPath(directory);
          await copyDirectory(before, copy, { signal });
          // Of what the copy shows too, but it does not change while it is read.
          await using lower = await openDirectoryTree(before, { xattrs: true, signal });
          await unpackLayer(lower, layer, copy, { signal, durable: true });
        });
      });
    },

    async usage(place, options) {
      const isParents = place.kind === "view" && place.parents.length > 0;
      return isParents ? { bytes: 0, inodes: 0 } : measureDirectory(contentPath(place.directory), options);
    },

    async commit(place, options) {
      await removeLeftovers(place.directory);
      await syncFileSystem(place.directory, options);
    },
  };
}

function shownPath({ kind, directory, parents }: SnapshotPlace): string {
  return contentPath(kind === "view" ? (parents.at(-1) ?? directory) : directory);
}

/** Copies a directory with everything in it over an empty one. */
async function copyDirectory(from: string, to: string, options: CallOptions): Promise<void> {
  const parameters = ["-a", "--reflink=auto", "-T", "--", `${from}/.`, to];
  const { exitCode, words } = await runTool("cp", { parameters, signal: options.signal });
  if (exitCode !== 0) throw new SnapshotError("snapshot_invalid", `cannot copy ${quote(from)}: ${words}`);
}
