import type { Database, Kysely } from "@lamella/database";
import type { CallOptions, Digest } from "@lamella/refs";
import type { Snapshotter } from "@lamella/snapshot";

import type { ContentStore } from "./content-store.js";
import type { StoreSchema } from "./database/schema.js";
import { fileState, otherFiles, storedBlobs } from "./gc-files.js";
import type { Garbage, StoredFile, StoredFileKind } from "./gc-files.js";
import { readHolds, rememberingOwners } from "./gc-holds.js";
import type { IsAlive } from "./gc-holds.js";
import { isNeeded, readNeeds } from "./gc-needs.js";
import type { Needs } from "./gc-needs.js";
import { pruneRows } from "./gc-rows.js";
import type { DoomedRows } from "./gc-rows.js";
import { collectSnapshots } from "./gc-snapshots.js";
import { sweep } from "./gc-sweep.js";
import { createMarks } from "./mark.js";
import type { Marks } from "./mark.js";

export interface GcOptions extends CallOptions {
  /** Removes nothing, and tells what would be removed. */
  dryRun?: boolean | undefined;
  /**
   * Leaves what was written within this time, 3,600,000 by default: blobs come before the manifest that names them, and whoever pushes them
   * to a registry holds no lease.
   */
  graceMs?: number | undefined;
  /** Removes of these snapshots what images were unpacked to, committed under chain IDs, where no image has these layers any more. */
  snapshotter?: Snapshotter | undefined;
}

/** What garbage collection has removed, or would have. */
export interface GcReport {
  readonly dryRun: boolean;
  /** Images to which no name led any more, by their manifests. */
  readonly images: readonly Digest[];
  /** Snapshots of images that are gone, by their names. Their bytes are not in the totals. */
  readonly snapshots: readonly string[];
  readonly removed: readonly RemovedFile[];
  /** By kind; the same as `removed`, added up. */
  readonly totals: Readonly<Record<StoredFileKind, Total>>;
  readonly freedBytes: number;
  /** What nothing needs and was left, as it is younger than the grace period. */
  readonly young: Total;
}

/** `ref`: the digest of a blob, the diffID of a layer archive, the path of a disk or a leftover below the store. */
export interface RemovedFile {
  readonly kind: StoredFileKind;
  readonly ref: string;
  readonly bytes: number;
}

export interface Total {
  readonly count: number;
  readonly bytes: number;
}

const GRACE_MS = 3_600_000;

/** What garbage is collected of. */
export interface GarbageStore {
  readonly content: ContentStore;
  readonly database: Database<StoreSchema>;
  flush(options?: CallOptions): Promise<void>;
}

/**
 * Marks what names, leases and builds under way need, and removes the rest. Whoever takes a lease before it looks whether something is
 * there loses nothing: every file goes within a write transaction that has looked for leases and new names once more.
 *
 * @throws {ImageStoreError} `store_invalid` for a damaged index or manifest, before anything is removed
 */
export async function collectGarbage(store: GarbageStore, options: GcOptions = {}): Promise<GcReport> {
  const { dryRun = false, graceMs = GRACE_MS, snapshotter, signal } = options;
  signal?.throwIfAborted();
  // names that other tools have added since the store was opened
  await store.flush({ signal });
  const run = (): Promise<GcReport> => collect(store, { dryRun, graceMs, snapshotter, signal });
  return dryRun ? run() : store.database.exclusively("gc", run, { signal });
}

interface Run extends CallOptions {
  readonly dryRun: boolean;
  readonly graceMs: number;
  readonly snapshotter: Snapshotter | undefined;
}

async function collect({ content, database }: GarbageStore, run: Run): Promise<GcReport> {
  const { dryRun, graceMs, snapshotter, signal } = run;
  const isAlive = rememberingOwners();
  // a file of this very moment counts as written before it, so that no grace means none
  const cutoff = Date.now() + 1 - graceMs;
  const marks = createMarks(content);
  const named = await namedDocuments(database, { signal });
  // before any row goes, as a damaged one stops everything
  await marks.follow(named, { signal });
  const doomed = await pruneRows(database, { dryRun, cutoff, isAlive, signal });
  const needs = await database.read((queries) => needsBeside(queries, { doomed, isAlive, dryRun }), { signal });
  marks.add(needs.blobs);
  const { garbage, young } = await findGarbage(content, { marks, needs, cutoff, signal });
  const removed = dryRun ? garbage : await sweep(database, garbage, { marks, named, isAlive, cutoff, signal });
  const snapshots =
    snapshotter === undefined
      ? []
      : await collectSnapshots(snapshotter, database, { doomed: doomed.images, dryRun, cutoff, signal });
  const images = [...doomed.images];
  return { dryRun, images, snapshots, removed: removed.map(reported), ...addUp(removed), young: total(young) };
}

async function namedDocuments(database: Database<StoreSchema>, options: CallOptions): Promise<Digest[]> {
  const roots = await database.read(
    (queries) => queries.selectFrom("tags").select("root_digest").distinct().execute(),
    options,
  );
  return roots.map(({ root_digest }) => root_digest);
}

async function needsBeside(
  queries: Kysely<StoreSchema>,
  { doomed, isAlive, dryRun }: { doomed: DoomedRows; isAlive: IsAlive; dryRun: boolean },
): Promise<Needs> {
  const holds = await readHolds(queries, isAlive);
  return readNeeds(queries, { holds, without: dryRun ? doomed : undefined });
}

interface Search extends CallOptions {
  readonly marks: Marks;
  readonly needs: Needs;
  readonly cutoff: number;
}

async function findGarbage(
  content: ContentStore,
  { marks, needs, cutoff, signal }: Search,
): Promise<{ garbage: Garbage[]; young: Garbage[] }> {
  const garbage: Garbage[] = [];
  const young: Garbage[] = [];
  const sort = async (file: StoredFile): Promise<void> => {
    signal?.throwIfAborted();
    const state = await fileState(file.path);
    if (state !== undefined) (state.changed < cutoff ? garbage : young).push({ ...file, bytes: state.bytes });
  };
  const unmarked: (StoredFile & { ref: Digest })[] = [];
  for await (const blob of storedBlobs(content, { signal })) if (!marks.has(blob.ref)) unmarked.push(blob);
  await marks.followReferrers(
    unmarked.map(({ ref }) => ref),
    { signal },
  );
  for (const blob of unmarked) if (!marks.has(blob.ref)) await sort(blob);
  for await (const file of otherFiles(content.directory)) if (!isNeeded(file, needs)) await sort(file);
  return { garbage, young };
}

function reported({ kind, ref, bytes }: Garbage): RemovedFile {
  return { kind, ref, bytes };
}

function addUp(files: readonly Garbage[]): Pick<GcReport, "totals" | "freedBytes"> {
  const of = (kind: StoredFileKind): Total => total(files.filter((file) => file.kind === kind));
  const totals = { blob: of("blob"), layer: of("layer"), disk: of("disk"), leftover: of("leftover") };
  return { totals, freedBytes: total(files).bytes };
}

function total(files: readonly Garbage[]): Total {
  return { count: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
}
