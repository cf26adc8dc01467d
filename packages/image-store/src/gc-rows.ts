import type { Database, Kysely, Transaction } from "@lamella/database";
import type { CallOptions, Digest } from "@lamella/refs";

import type { StoreSchema } from "./database/schema.js";
import { dropDeadLeases, readHolds } from "./gc-holds.js";
import type { Holds, IsAlive } from "./gc-holds.js";

/** Rows that nothing needs: they go before the bytes do. */
export interface DoomedRows {
  /** Images to which no name leads. */
  readonly images: ReadonlySet<Digest>;
  /** Indexes without a name that led to images which stay by another. */
  readonly roots: ReadonlySet<Digest>;
  /** Keys of disks whose images have all gone. */
  readonly disks: ReadonlySet<string>;
}

export interface PruneOptions extends CallOptions {
  readonly dryRun: boolean;
  /** Only rows from before, in milliseconds since 1970. */
  readonly cutoff: number;
  readonly isAlive: IsAlive;
}

/** What makes a row doomed; among some that were seen to be doomed, or among all. */
interface Doom<Key> {
  readonly cutoff: number;
  readonly holds: Holds;
  readonly among?: readonly Key[];
}

/** Removes the rows that nothing needs, or only tells which those are. */
export async function pruneRows(database: Database<StoreSchema>, options: PruneOptions): Promise<DoomedRows> {
  const { dryRun, cutoff, isAlive, signal } = options;
  const doom = async (queries: Kysely<StoreSchema>): Promise<Doom<never>> => ({
    cutoff,
    holds: await readHolds(queries, isAlive),
  });
  if (dryRun) {
    return database.read(async (queries) => {
      const rule = await doom(queries);
      const images = await doomedImages(queries, rule);
      return { images, roots: await doomedRoots(queries, rule), disks: await doomedDisks(queries, rule, images) };
    }, options);
  }
  await database.write((queries) => dropDeadLeases(queries, isAlive), { signal });
  const images = await prune(database, options, {
    find: doomedImages,
    remove: (queries, digests) => queries.deleteFrom("images").where("manifest_digest", "in", digests).execute(),
  });
  const roots = await prune(database, options, {
    find: doomedRoots,
    remove: (queries, digests) => queries.deleteFrom("image_roots").where("root_digest", "in", digests).execute(),
  });
  const disks = await prune(database, options, {
    find: doomedDisks,
    remove: (queries, keys) => queries.deleteFrom("disks").where("key", "in", keys).execute(),
  });
  return { images, roots, disks };
}

interface Pruning<Key> {
  find(queries: Kysely<StoreSchema>, doom: Doom<Key>): Promise<Set<Key>>;
  remove(queries: Transaction<StoreSchema>, keys: readonly Key[]): Promise<unknown>;
}

/** So few that nobody waits long for the transaction. */
const ROWS_AT_ONCE = 200;

/** Removes doomed rows in several transactions, each of which looks once more: one may have got a name or a lease by now. */
async function prune<Key extends string>(
  database: Database<StoreSchema>,
  { cutoff, isAlive, signal }: PruneOptions,
  { find, remove }: Pruning<Key>,
): Promise<Set<Key>> {
  const seen = await database.read(
    async (queries) => find(queries, { cutoff, holds: await readHolds(queries, isAlive) }),
    { signal },
  );
  const all = [...seen];
  const removed = new Set<Key>();
  for (let at = 0; at < all.length; at += ROWS_AT_ONCE) {
    const among = all.slice(at, at + ROWS_AT_ONCE);
    const doomed = await database.write(
      async (queries) => {
        const found = await find(queries, { cutoff, holds: await readHolds(queries, isAlive), among });
        if (found.size > 0) await remove(queries, [...found]);
        return found;
      },
      { signal },
    );
    for (const key of doomed) removed.add(key);
  }
  return removed;
}

async function doomedImages(
  queries: Kysely<StoreSchema>,
  { cutoff, holds, among }: Doom<Digest>,
): Promise<Set<Digest>> {
  let query = queries
    .selectFrom("images")
    .select("manifest_digest as digest")
    .where("created_at", "<", cutoff)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom("image_roots")
            .innerJoin("tags", "tags.root_digest", "image_roots.root_digest")
            .select("tags.name")
            .whereRef("image_roots.manifest_digest", "=", "images.manifest_digest"),
        ),
      ),
    )
    .orderBy("manifest_digest");
  if (among !== undefined) query = query.where("manifest_digest", "in", among);
  return unheld(await query.execute(), holds);
}

async function doomedRoots(queries: Kysely<StoreSchema>, { cutoff, holds, among }: Doom<Digest>): Promise<Set<Digest>> {
  let query = queries
    .selectFrom("image_roots")
    .innerJoin("images", "images.manifest_digest", "image_roots.manifest_digest")
    .select("root_digest as digest")
    .whereRef("root_digest", "!=", "image_roots.manifest_digest")
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom("tags").select("name").whereRef("tags.root_digest", "=", "image_roots.root_digest"))),
    )
    .groupBy("root_digest")
    .having(({ fn }) => fn.max("images.created_at"), "<", cutoff)
    .orderBy("root_digest");
  if (among !== undefined) query = query.where("root_digest", "in", among);
  return unheld(await query.execute(), holds);
}

function unheld(rows: readonly { readonly digest: Digest }[], holds: Holds): Set<Digest> {
  return new Set(rows.map(({ digest }) => digest).filter((digest) => !holds.blob.has(digest)));
}

/** `without`: images that count as gone. */
async function doomedDisks(
  queries: Kysely<StoreSchema>,
  { cutoff, holds, among }: Doom<string>,
  without: ReadonlySet<Digest> = new Set(),
): Promise<Set<string>> {
  let query = queries
    .selectFrom("disks")
    .leftJoin("disk_images", "disk_images.disk_key", "disks.key")
    .select(["disks.key", "disk_images.manifest_digest as image"])
    .where("disks.created_at", "<", cutoff)
    .where("disks.used_at", "<", cutoff)
    .orderBy("disks.key");
  if (among !== undefined) query = query.where("disks.key", "in", among);
  const rows = await query.execute();
  const needed = new Set(rows.filter(({ image }) => image !== null && !without.has(image)).map(({ key }) => key));
  return new Set(rows.map(({ key }) => key).filter((key) => !needed.has(key) && !holds.disk.has(key)));
}
