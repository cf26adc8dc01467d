import type { Database } from "@lamella/database";
import { isDigest } from "@lamella/refs";
import type { CallOptions, Digest } from "@lamella/refs";
import { chainIDs, SnapshotError } from "@lamella/snapshot";
import type { SnapshotInfo, Snapshotter } from "@lamella/snapshot";

import type { StoreSchema } from "./database/schema.js";

export interface SnapshotCollection extends CallOptions {
  /** Images that count as gone. */
  readonly doomed: ReadonlySet<Digest>;
  readonly dryRun: boolean;
  /** Only what was made before, in milliseconds since 1970. */
  readonly cutoff: number;
}

/**
 * Removes what images were unpacked to, committed under chain IDs, where no image has these layers any more and no other snapshot is on it. Snapshots
 * under names of the user's own stay. Tells the names of those that went, children first.
 */
export async function collectSnapshots(
  snapshotter: Snapshotter,
  database: Database<StoreSchema>,
  { doomed, dryRun, cutoff, signal }: SnapshotCollection,
): Promise<string[]> {
  const snapshots = new Map<string, SnapshotInfo>();
  const children = new Map<string, number>();
  for await (const info of snapshotter.walk({ signal })) {
    snapshots.set(info.name, info);
    if (info.parent !== undefined) children.set(info.parent, (children.get(info.parent) ?? 0) + 1);
  }
  const needed = await neededChains(database, { doomed, signal });
  const isGarbage = ({ kind, name, updatedAt }: SnapshotInfo): boolean =>
    kind === "committed" &&
    isDigest(name) &&
    !needed.has(name) &&
    (children.get(name) ?? 0) === 0 &&
    updatedAt.getTime() < cutoff;

  const removed: string[] = [];
  const garbage = [...snapshots.values()].filter(isGarbage);
  for (let info = garbage.pop(); info !== undefined; info = garbage.pop()) {
    if (!dryRun && !(await remove(snapshotter, info.name, { signal }))) continue;
    removed.push(info.name);
    const parent = info.parent === undefined ? undefined : snapshots.get(info.parent);
    if (parent === undefined) continue;
    children.set(parent.name, (children.get(parent.name) ?? 1) - 1);
    if (isGarbage(parent)) garbage.push(parent);
  }
  return removed;
}

/** Of all images each layer on those below it. */
async function neededChains(
  database: Database<StoreSchema>,
  { doomed, signal }: Pick<SnapshotCollection, "doomed" | "signal">,
): Promise<ReadonlySet<string>> {
  const rows = await database.read(
    (queries) =>
      queries
        .selectFrom("image_layers")
        .select(["manifest_digest", "diff_id"])
        .orderBy("manifest_digest")
        .orderBy("position")
        .execute(),
    { signal },
  );
  const stacks = new Map<Digest, Digest[]>();
  for (const { manifest_digest: image, diff_id: diffID } of rows) {
    if (doomed.has(image)) continue;
    const stack = stacks.get(image);
    if (stack === undefined) stacks.set(image, [diffID]);
    else stack.push(diffID);
  }
  return new Set([...stacks.values()].flatMap((diffIDs) => chainIDs(diffIDs)));
}

/** False for one that somebody has put another on, or has removed. */
async function remove(snapshotter: Snapshotter, name: string, options: CallOptions): Promise<boolean> {
  try {
    await snapshotter.remove(name, options);
    return true;
  } catch (error) {
    if (error instanceof SnapshotError && (error.code === "failed_precondition" || error.code === "not_found")) {
      return false;
    }
    throw error;
  }
}
