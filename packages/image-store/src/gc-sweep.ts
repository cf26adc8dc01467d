import type { Database, Transaction } from "@lamella/database";
import type { CallOptions, Digest } from "@lamella/refs";

import type { StoreSchema } from "./database/schema.js";
import { fileState, keyOfDiskFile, takeAway } from "./gc-files.js";
import type { Garbage } from "./gc-files.js";
import { blobsInRows, disksInRows, layersInRows, readHolds } from "./gc-holds.js";
import type { Holds, IsAlive } from "./gc-holds.js";
import { isHeld } from "./gc-needs.js";
import type { Marks } from "./mark.js";

export interface SweepOptions extends CallOptions {
  readonly marks: Marks;
  /** What had a name when marks were made. */
  readonly named: readonly Digest[];
  readonly isAlive: IsAlive;
  readonly cutoff: number;
}

/** So few that others can write between. */
const FILES_AT_ONCE = 100;

/** Removes garbage, but for what is needed by now. Gives what it has removed. */
export async function sweep(
  database: Database<StoreSchema>,
  garbage: readonly Garbage[],
  options: SweepOptions,
): Promise<Garbage[]> {
  const removed: Garbage[] = [];
  const names = new NewNames(options.named);
  for (let at = 0; at < garbage.length; at += FILES_AT_ONCE) {
    removed.push(...(await sweepBatch(database, garbage.slice(at, at + FILES_AT_ONCE), { ...options, names })));
  }
  return removed;
}

async function sweepBatch(
  database: Database<StoreSchema>,
  batch: readonly Garbage[],
  { marks, isAlive, cutoff, signal, names }: SweepOptions & { names: NewNames },
): Promise<Garbage[]> {
  for (;;) {
    const later: (() => Promise<void>)[] = [];
    const outcome = await database.write(
      async (queries) => {
        const added = await names.added(queries);
        if (added.length > 0) return { added };
        const isNeeded = await needsNow(queries, batch, await readHolds(queries, isAlive));
        const removed: Garbage[] = [];
        for (const file of batch) {
          signal?.throwIfAborted();
          if (isNeeded(file) || (file.kind === "blob" && marks.has(file.ref as Digest))) continue;
          const state = await fileState(file.path);
          // whoever found it there without a lease has written it anew, or touched it
          if (state === undefined || state.changed >= cutoff) continue;
          const rest = await takeAway(file);
          if (rest !== undefined) later.push(rest);
          removed.push(file);
        }
        return { removed };
      },
      { signal },
    );
    for (const rest of later) await rest();
    if (outcome.removed !== undefined) return outcome.removed;
    await marks.follow(outcome.added, { signal });
    names.followed(outcome.added);
  }
}

/** Names that come while garbage is looked for lead to documents that were not followed. */
class NewNames {
  readonly #followed: Set<Digest>;
  #changes: number | undefined;

  constructor(followed: readonly Digest[]) {
    this.#followed = new Set(followed);
  }

  /** What has got a name and is still to be followed. */
  async added(queries: Transaction<StoreSchema>): Promise<Digest[]> {
    const { wanted } = await queries.selectFrom("layout").select("wanted").executeTakeFirstOrThrow();
    if (wanted === this.#changes) return [];
    const rows = await queries.selectFrom("tags").select("root_digest").distinct().execute();
    const added = rows.map(({ root_digest }) => root_digest).filter((digest) => !this.#followed.has(digest));
    if (added.length === 0) this.#changes = wanted;
    return added;
  }

  followed(documents: readonly Digest[]): void {
    for (const digest of documents) this.#followed.add(digest);
  }
}

async function needsNow(
  queries: Transaction<StoreSchema>,
  batch: readonly Garbage[],
  holds: Holds,
): Promise<(file: Garbage) => boolean> {
  const refs = (kind: Garbage["kind"]): string[] => batch.filter((file) => file.kind === kind).map(({ ref }) => ref);
  const blobs: ReadonlySet<string> = await blobsInRows(queries, refs("blob") as Digest[]);
  const layers: ReadonlySet<string> = await layersInRows(queries, refs("layer") as Digest[]);
  const disks = await disksInRows(queries, refs("disk"));
  return ({ kind, ref, of }) => {
    if (kind === "blob") return blobs.has(ref) || holds.blob.has(ref);
    if (kind === "layer") return layers.has(ref) || holds.layer.has(ref);
    if (kind === "disk") return disks.has(ref) || holds.disk.has(keyOfDiskFile(ref));
    return of !== undefined && isHeld(of, holds);
  };
}
