import { type Kysely, sql } from "@lamella/database";

import type { Labels, SnapshotInfo, SnapshotKind } from "../snapshotter.js";
import type { MetadataSchema } from "./metadata.js";

type Queries = Kysely<MetadataSchema>;

/** A snapshot as it is kept: its {@link SnapshotInfo}, and what is nobody else's business. */
export interface SnapshotRow {
  readonly id: number;
  readonly name: string;
  readonly kind: SnapshotKind;
  readonly parent_id: number | null;
  readonly parent: string | null;
  readonly labels: string;
  readonly created_at: number;
  readonly updated_at: number;
  readonly bytes: number | null;
  readonly inodes: number | null;
  readonly state: "making" | "ready";
  readonly owner: string | null;
}

/** The row of a name or key, also one whose directory is being made. */
export async function findRow(queries: Queries, name: string): Promise<SnapshotRow | undefined> {
  return selectRows(queries).where("snapshots.name", "=", name).executeTakeFirst();
}

export async function findRowById(queries: Queries, id: number): Promise<SnapshotRow | undefined> {
  return selectRows(queries).where("snapshots.id", "=", id).executeTakeFirst();
}

/** Finished snapshots in the order of their names, after one. */
export async function listRows(
  queries: Queries,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<SnapshotRow[]> {
  let query = selectRows(queries).where("snapshots.state", "=", "ready");
  if (after !== undefined) query = query.where("snapshots.name", ">", after);
  return query.orderBy("snapshots.name").limit(limit).execute();
}

/** The IDs of the snapshots below one, the base first. */
export async function findParentIds(queries: Queries, parentId: number | null): Promise<number[]> {
  const rows = await queries
    .withRecursive("chain", (below) =>
      below
        .selectFrom("snapshots")
        .select(["id", "parent_id", sql<number>`0`.as("depth")])
        .where("id", "=", parentId)
        .unionAll((chain) =>
          chain
            .selectFrom("chain")
            .innerJoin("snapshots", "snapshots.id", "chain.parent_id")
            .select(["snapshots.id", "snapshots.parent_id", sql<number>`chain.depth + 1`.as("depth")]),
        ),
    )
    .selectFrom("chain")
    .select("id")
    .orderBy("depth", "desc")
    .execute();
  return rows.map(({ id }) => id);
}

export async function listChildren(queries: Queries, id: number): Promise<SnapshotRow[]> {
  return selectRows(queries).where("snapshots.parent_id", "=", id).execute();
}

export async function listUnfinished(queries: Queries): Promise<SnapshotRow[]> {
  return selectRows(queries).where("snapshots.state", "=", "making").execute();
}

/** Takes away a row whose directory was being made; whether it was there as it had been seen. */
export async function deleteUnfinished(queries: Queries, { id, owner }: SnapshotRow): Promise<boolean> {
  const { numDeletedRows } = await queries
    .deleteFrom("snapshots")
    .where("id", "=", id)
    .where("state", "=", "making")
    .where("owner", "=", owner)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export async function listIds(queries: Queries): Promise<Set<number>> {
  const rows = await queries.selectFrom("snapshots").select("id").execute();
  return new Set(rows.map(({ id }) => id));
}

function selectRows(queries: Queries) {
  return queries
    .selectFrom("snapshots")
    .leftJoin("snapshots as parents", "parents.id", "snapshots.parent_id")
    .select([
      "snapshots.id",
      "snapshots.name",
      "snapshots.kind",
      "snapshots.parent_id",
      "parents.name as parent",
      "snapshots.labels",
      "snapshots.created_at",
      "snapshots.updated_at",
      "snapshots.bytes",
      "snapshots.inodes",
      "snapshots.state",
      "snapshots.owner",
    ]);
}

export function rowInfo(row: SnapshotRow): SnapshotInfo {
  return {
    kind: row.kind,
    name: row.name,
    parent: row.parent ?? undefined,
    labels: JSON.parse(row.labels) as Labels,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  };
}
