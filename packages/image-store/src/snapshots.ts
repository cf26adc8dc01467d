import { join } from "node:path";

import { openDisk, planErofs, writeDisk } from "@lamella/disk-export";
import type { CallOptions } from "@lamella/refs";
import type { SnapshotDriver, Snapshotter } from "@lamella/snapshot";
import type { ErofsImages } from "@lamella/snapshot/node";

export const SNAPSHOT_DRIVERS = ["tree", "directory", "overlay", "erofs"] as const;

export type SnapshotDriverName = (typeof SNAPSHOT_DRIVERS)[number];

/**
 * Opens the snapshots of a store's directory, or makes them, for a driver. They lie beside what the store has, and whoever opened them closes them.
 * @throws {SnapshotError} `failed_precondition` if they are another driver's; {@link DatabaseError} as `openDatabase` does
 */
export async function openSnapshots(
  root: string,
  driver: SnapshotDriverName,
  options: CallOptions = {},
): Promise<Snapshotter> {
  // of those who open stores few open snapshots
  const { createSnapshotter } = await import("@lamella/snapshot/node");
  return createSnapshotter(directoryOf(root), await createDriver(driver), options);
}

/** Opens the snapshots that a store's directory has, of whichever driver; undefined where it has none. */
export async function openSnapshotsThere(root: string, options: CallOptions = {}): Promise<Snapshotter | undefined> {
  const { snapshotDriverName } = await import("@lamella/snapshot/node");
  const name = await snapshotDriverName(directoryOf(root), options);
  const driver = SNAPSHOT_DRIVERS.find((known) => known === name);
  return driver === undefined ? undefined : openSnapshots(root, driver, options);
}

function directoryOf(root: string): string {
  return join(root, "snapshots");
}

async function createDriver(name: SnapshotDriverName): Promise<SnapshotDriver> {
  const drivers = await import("@lamella/snapshot/node");
  if (name === "erofs") return drivers.createErofsDriver({ images: erofsImages });
  return {
    tree: drivers.createTreeDriver,
    directory: drivers.createDirectoryDriver,
    overlay: drivers.createOverlayDriver,
  }[name]();
}

const erofsImages: ErofsImages = {
  async write(tree, path, options) {
    await using plan = await planErofs(tree, options);
    await writeDisk(plan, path, options);
  },
  open: (path, options) => openDisk(path, options),
};
