import { type Generated, type Kysely, type Migration, sql } from "@lamella/database";
import type { Digest } from "@lamella/refs";

import type { CachedPrefix, CachedSnapshot } from "../snapshot-manifest.js";

/*
 *   manifests 1 --< uses >-- 1 layers      a layer's row goes with the last of its uses, in the same transaction
 *
 * A layer's directory has a name that none had before, so that one that is being removed is never in the way of one that comes:
 *
 *   (none) --row in incoming--> filled --row moves to layers, with a manifest--> there --row goes--> directory removed
 *               |
 *         owner dies: nobody's
 *
 * The row comes before the directory and goes before it: a directory without a row is nobody's.
 */
export interface BuildCacheSchema {
  manifests: { id: Generated<number>; key: string; layers: string; config: string | null; saved_at: number };
  layers: { id: Generated<number>; diff_id: string; directory: string };
  uses: { manifest_id: number; layer_id: number };
  incoming: { directory: string; owner: string };
}

type Queries = Kysely<BuildCacheSchema>;

export const BUILD_CACHE_MIGRATIONS: Readonly<Record<string, Migration>> = {
  "001_build_cache": {
    async up({ schema }) {
      await schema
        .createTable("manifests")
        .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
        .addColumn("key", "text", (column) => column.notNull().unique())
        .addColumn("layers", "text", (column) => column.notNull())
        .addColumn("config", "text")
        .addColumn("saved_at", "integer", (column) => column.notNull())
        .execute();
      await schema
        .createTable("layers")
        .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
        .addColumn("diff_id", "text", (column) => column.notNull().unique())
        .addColumn("directory", "text", (column) => column.notNull().unique())
        .execute();
      await schema
        .createTable("uses")
        .addColumn("manifest_id", "integer", (column) =>
          column.notNull().references("manifests.id").onDelete("cascade"),
        )
        .addColumn("layer_id", "integer", (column) => column.notNull().references("layers.id").onDelete("restrict"))
        .addPrimaryKeyConstraint("uses_key", ["manifest_id", "layer_id"])
        .execute();
      await schema.createIndex("uses_by_layer").on("uses").column("layer_id").execute();
      await schema
        .createTable("incoming")
        .addColumn("directory", "text", (column) => column.notNull().primaryKey())
        .addColumn("owner", "text", (column) => column.notNull())
        .execute();
    },
  },
};

interface ManifestRow {
  readonly key: string;
  readonly layers: string;
  readonly config: string | null;
  readonly saved_at: number;
}

export async function findManifest(queries: Queries, key: Digest): Promise<CachedSnapshot | undefined> {
  const row = await queries.selectFrom("manifests").selectAll().where("key", "=", key).executeTakeFirst();
  return row && snapshotOf(row);
}

export async function listManifests(
  queries: Queries,
  { after, limit }: { after: number; limit: number },
): Promise<{ id: number; snapshot: CachedSnapshot }[]> {
  const query = queries.selectFrom("manifests").selectAll().where("id", ">", after).orderBy("id").limit(limit);
  return (await query.execute()).map((row) => ({ id: row.id, snapshot: snapshotOf(row) }));
}

export async function findLastOf(queries: Queries, keys: readonly Digest[]): Promise<CachedPrefix | undefined> {
  // As one parameter: there may be more keys than a statement may have parameters.
  const { rows } = await sql<ManifestRow & { place: number }>`
    select wanted.key as place, manifests.key, manifests.layers, manifests.config, manifests.saved_at
    from json_each(${JSON.stringify(keys)}) as wanted join manifests on manifests.key = wanted.value
    order by place desc limit 1`.execute(queries);
  const [row] = rows;
  return row && { ...snapshotOf(row), index: row.place };
}

export async function findLayer(queries: Queries, diffID: Digest): Promise<string | undefined> {
  const row = await queries.selectFrom("layers").select("directory").where("diff_id", "=", diffID).executeTakeFirst();
  return row?.directory;
}

/** A manifest on its way in. */
export interface ManifestInsertion extends CachedSnapshot {
  /** The config as JSON. */
  readonly text: string | undefined;
  /** Directories that are filled, by the layer of which they are. */
  readonly arrived: ReadonlyMap<Digest, string>;
}

/**
 * Puts a manifest in the place of the one of its key.
 * @returns the directories that nobody needs any more, and nothing but the layers that are missing if some are: then nothing has been changed
 */
export async function insertManifest(
  queries: Queries,
  { key, layers, text, savedAt, arrived }: ManifestInsertion,
): Promise<{ missing: Digest[]; unused: string[] }> {
  const ids = new Set<number>();
  const wanted = new Set(layers);
  const found = await queries
    .selectFrom("layers")
    .innerJoin(
      sql<{ value: string }>`json_each(${JSON.stringify([...wanted])})`.as("wanted"),
      "wanted.value",
      "layers.diff_id",
    )
    .select(["layers.id", "layers.diff_id"])
    .execute();
  for (const { id, diff_id } of found) {
    ids.add(id);
    wanted.delete(diff_id as Digest);
  }
  const missing = [...wanted].filter((diffID) => !arrived.has(diffID));
  if (missing.length > 0) return { missing, unused: [] };
  const directories = [...arrived.values()];
  if (directories.length > 0) await queries.deleteFrom("incoming").where("directory", "in", directories).execute();
  for (const diff_id of wanted) {
    const directory = arrived.get(diff_id) as string;
    const row = { diff_id, directory };
    ids.add((await queries.insertInto("layers").values(row).returning("id").executeTakeFirstOrThrow()).id);
  }
  await queries.deleteFrom("manifests").where("key", "=", key).execute();
  const manifest = { key, layers: JSON.stringify(layers), config: text ?? null, saved_at: savedAt.getTime() };
  const { id } = await queries.insertInto("manifests").values(manifest).returning("id").executeTakeFirstOrThrow();
  for (const layer_id of ids) await queries.insertInto("uses").values({ manifest_id: id, layer_id }).execute();
  const redundant = [...arrived].filter(([diffID]) => !wanted.has(diffID)).map(([, directory]) => directory);
  return { missing: [], unused: [...redundant, ...(await deleteUnused(queries))] };
}

/** @returns the directories that nobody needs any more */
export async function deleteManifest(queries: Queries, key: Digest): Promise<string[]> {
  await queries.deleteFrom("manifests").where("key", "=", key).execute();
  return deleteUnused(queries);
}

async function deleteUnused(queries: Queries): Promise<string[]> {
  const rows = await queries
    .deleteFrom("layers")
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom("uses").select("layer_id").whereRef("uses.layer_id", "=", "layers.id"))),
    )
    .returning("directory")
    .execute();
  return rows.map(({ directory }) => directory);
}

export async function insertIncoming(queries: Queries, directory: string, owner: string): Promise<void> {
  await queries.insertInto("incoming").values({ directory, owner }).execute();
}

/** @returns whether it was still on its way in */
export async function deleteIncoming(queries: Queries, directory: string): Promise<boolean> {
  const deletion = queries.deleteFrom("incoming").where("directory", "=", directory);
  return (await deletion.executeTakeFirst()).numDeletedRows > 0n;
}

export async function listIncoming(queries: Queries): Promise<{ directory: string; owner: string }[]> {
  return queries.selectFrom("incoming").selectAll().execute();
}

/** All directories that have a row. */
export async function listDirectories(queries: Queries): Promise<Set<string>> {
  const layers = await queries.selectFrom("layers").select("directory").execute();
  const incoming = await queries.selectFrom("incoming").select("directory").execute();
  return new Set([...layers, ...incoming].map(({ directory }) => directory));
}

function snapshotOf({ key, layers, config, saved_at }: ManifestRow): CachedSnapshot {
  return {
    key: key as Digest,
    layers: JSON.parse(layers) as Digest[],
    ...(config !== null && { config: JSON.parse(config) as unknown }),
    savedAt: new Date(saved_at),
  };
}
