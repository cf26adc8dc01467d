import { isOwnerAlive, processOwner } from "@lamella/database";
import type { CallOptions } from "@lamella/refs";

import { SnapshotError, type SnapshotErrorCode } from "../errors.js";
import type { Labels, Snapshotter } from "../snapshotter.js";

/** A label of an active snapshot that is somebody's for a while: whose process works in it. */
const OWNER_LABEL = "lamella/owner";

/** Labels by which a snapshot is this process's. */
export async function ownerLabels(): Promise<Labels> {
  return { [OWNER_LABEL]: await processOwner() };
}

/** Removes a snapshot, if it is there. */
export async function removeTemporary(snapshotter: Snapshotter, key: string, options: CallOptions = {}): Promise<void> {
  await snapshotter.remove(key, options).catch((error: unknown) => {
    if (!hasCode(error, "not_found")) throw error;
  });
}

/**
 * Removes the active snapshots in which killed processes were unpacking layers or initializing file systems. {@link applyLayers} does it when it has something
 * to unpack; it can be done at any time, beside everything else. What is left of them on disk is removed by the snapshotter's `cleanup`.
 */
export async function removeAbandonedSnapshots(snapshotter: Snapshotter, options: CallOptions = {}): Promise<void> {
  const filters = [`kind==active,labels."${OWNER_LABEL}"`];
  for await (const { name, labels } of snapshotter.walk({ filters, signal: options.signal })) {
    if (!(await isOwnerAlive(labels[OWNER_LABEL] ?? ""))) await removeTemporary(snapshotter, name, options);
  }
}

export async function isThere(snapshotter: Snapshotter, name: string, options: CallOptions): Promise<boolean> {
  try {
    await snapshotter.stat(name, options);
    return true;
  } catch (error) {
    if (hasCode(error, "not_found")) return false;
    throw error;
  }
}

export function hasCode(error: unknown, code: SnapshotErrorCode): boolean {
  return error instanceof SnapshotError && error.code === code;
}
