import { isOwnerAlive } from "@lamella/database";
import type { Kysely } from "@lamella/database";
import type { Digest } from "@lamella/refs";

import type { BuildStatus, LeaseItemKind, StoreSchema } from "./database/schema.js";

/** What leases and builds hold. */
export type Holds = Readonly<Record<LeaseItemKind, ReadonlySet<string>>>;

/** Asked once for each process: one that is gone does not come back. */
export type IsAlive = (owner: string) => Promise<boolean>;

export function rememberingOwners(): IsAlive {
  const known = new Map<string, boolean>();
  return async (owner) => {
    const alive = known.get(owner) ?? (await isOwnerAlive(owner));
    known.set(owner, alive);
    return alive;
  };
}

const UNDER_WAY: readonly BuildStatus[] = ["pending", "pulling", "converting"];

/** Reads what must stay though no image has it: by leases that are good, and by builds under way, also those that wait to be recovered. */
export async function readHolds(queries: Kysely<StoreSchema>, isAlive: IsAlive): Promise<Holds> {
  const held = { blob: new Set<string>(), layer: new Set<string>(), disk: new Set<string>() };
  for (const { id } of await goodLeases(queries, isAlive)) {
    const items = await queries.selectFrom("lease_items").select(["kind", "ref"]).where("lease_id", "=", id).execute();
    for (const { kind, ref } of items) held[kind].add(ref);
  }
  const builds = await queries
    .selectFrom("builds")
    .select(["manifest_digest", "root_digest", "disk_key"])
    .where("status", "in", UNDER_WAY)
    .execute();
  for (const { manifest_digest, root_digest, disk_key } of builds) {
    if (manifest_digest !== null) held.blob.add(manifest_digest);
    if (root_digest !== null) held.blob.add(root_digest);
    if (disk_key !== null) held.disk.add(disk_key);
  }
  return held;
}

async function goodLeases(queries: Kysely<StoreSchema>, isAlive: IsAlive): Promise<{ id: string }[]> {
  const now = Date.now();
  const leases = await queries.selectFrom("leases").select(["id", "owner", "expires_at"]).execute();
  const good: { id: string }[] = [];
  for (const lease of leases) {
    if ((lease.expires_at ?? Infinity) > now && (await isAlive(lease.owner))) good.push(lease);
  }
  return good;
}

/** Forgets the leases of processes that are gone. */
export async function dropDeadLeases(queries: Kysely<StoreSchema>, isAlive: IsAlive): Promise<void> {
  const owners = await queries.selectFrom("leases").select("owner").distinct().execute();
  for (const { owner } of owners) {
    if (!(await isAlive(owner))) await queries.deleteFrom("leases").where("owner", "=", owner).execute();
  }
}

/** Which of some blobs belong to recorded images or are what a name stands for. */
export async function blobsInRows(queries: Kysely<StoreSchema>, blobs: readonly Digest[]): Promise<Set<Digest>> {
  if (blobs.length === 0) return new Set();
  const layers = await queries.selectFrom("image_layers").select("digest").where("digest", "in", blobs).execute();
  const roots = await queries
    .selectFrom("image_roots")
    .select("root_digest as digest")
    .where("root_digest", "in", blobs)
    .execute();
  const configs = await queries
    .selectFrom("images")
    .select("config_digest as digest")
    .where("config_digest", "in", blobs)
    .execute();
  const tags = await queries
    .selectFrom("tags")
    .select("root_digest as digest")
    .where("root_digest", "in", blobs)
    .execute();
  return new Set([...layers, ...roots, ...configs, ...tags].map(({ digest }) => digest));
}

/** Which of some layers belong to recorded images. */
export async function layersInRows(queries: Kysely<StoreSchema>, diffIDs: readonly Digest[]): Promise<Set<Digest>> {
  if (diffIDs.length === 0) return new Set();
  const rows = await queries.selectFrom("image_layers").select("diff_id").where("diff_id", "in", diffIDs).execute();
  return new Set(rows.map(({ diff_id }) => diff_id));
}

/** Which of some files, relative to the store, are those of recorded disks. */
export async function disksInRows(queries: Kysely<StoreSchema>, files: readonly string[]): Promise<Set<string>> {
  if (files.length === 0) return new Set();
  const rows = await queries.selectFrom("disks").select("file").where("file", "in", files).execute();
  return new Set(rows.map(({ file }) => file));
}
