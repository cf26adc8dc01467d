import { randomUUID } from "node:crypto";

import { processOwner } from "@lamella/database";
import type { Database, Transaction } from "@lamella/database";
import type { CallOptions } from "@lamella/refs";

import type { LeaseItemKind, StoreSchema } from "./database/schema.js";

export interface LeaseItem {
  readonly kind: LeaseItemKind;
  /** The digest of a blob, the diffID of a layer archive, the key of a disk. */
  readonly ref: string;
}

/** Holds what garbage collection must leave alone, there or not yet, until the work that it was taken for has ended. */
export interface Lease {
  readonly id: string;
  /** All of them at once. Look whether they are there only afterwards: then they stay. */
  add(items: readonly LeaseItem[], options?: CallOptions): Promise<void>;
}

export interface LeaseOptions extends CallOptions {
  /** The lease is void after this time, even though the process lives. Without it: as long as the work and the process. */
  ttlMs?: number | undefined;
}

export interface LeaseWork {
  /** For people: "pull alpine:3.20". */
  readonly purpose: string;
  readonly items: readonly LeaseItem[];
}

/** Does `use` under a lease, which ends with it, or with the process. */
export async function withLease<Result>(
  database: Database<StoreSchema>,
  { purpose, items }: LeaseWork,
  use: (lease: Lease) => Promise<Result>,
  { ttlMs, signal }: LeaseOptions = {},
): Promise<Result> {
  const id = randomUUID();
  const owner = await processOwner();
  const now = Date.now();
  const row = { id, owner, purpose, created_at: now, expires_at: ttlMs === undefined ? null : now + ttlMs };
  await database.write(
    async (queries) => {
      await queries.insertInto("leases").values(row).execute();
      await addItems(queries, id, items);
    },
    { signal },
  );
  try {
    return await use({ id, add: (more, call) => database.write((queries) => addItems(queries, id, more), call) });
  } finally {
    await database.write((queries) => queries.deleteFrom("leases").where("id", "=", id).execute());
  }
}

const ROWS_AT_ONCE = 500;

async function addItems(queries: Transaction<StoreSchema>, id: string, items: readonly LeaseItem[]): Promise<void> {
  for (let at = 0; at < items.length; at += ROWS_AT_ONCE) {
    const values = items.slice(at, at + ROWS_AT_ONCE).map(({ kind, ref }) => ({ lease_id: id, kind, ref }));
    await queries
      .insertInto("lease_items")
      .values(values)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}
