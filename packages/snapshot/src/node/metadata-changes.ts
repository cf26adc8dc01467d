import type { Kysely } from "@lamella/database";
import { quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { Labels, Usage } from "../snapshotter.js";
import type { MetadataSchema } from "./metadata.js";
import { findRow, findRowById, listChildren, type SnapshotRow } from "./metadata-rows.js";
import { checkLabels } from "./snapshot-name.js";

type Queries = Kysely<MetadataSchema>;

/**
 * A row whose directory is being made is in the way. That stands for the error it has with it, if the row's owner lives; otherwise the
 * row counts as absent, and the change is tried again without it.
 */
export class UnfinishedRow extends Error {
  readonly row: SnapshotRow;
  readonly refusal: SnapshotError;

  constructor(row: SnapshotRow, refusal: SnapshotError) {
    super(refusal.message);
    this.row = row;
    this.refusal = refusal;
  }
}

/** @throws {SnapshotError} `not_found`, also for a row whose directory is being made */
export function requireRow(act: string, name: string, row: SnapshotRow | undefined): SnapshotRow {
  if (row?.state === "ready") return row;
  throw new SnapshotError("not_found", `cannot ${act} snapshot ${quote(name)}: there is none`);
}

export interface NewSnapshot {
  readonly name: string;
  readonly kind: "active" | "view";
  readonly parent: string | undefined;
  readonly labels: Labels;
  readonly owner: string;
}

/** Takes the name for a snapshot whose directory is going to be made. */
export async function insertUnfinished(queries: Queries, snapshot: NewSnapshot): Promise<SnapshotRow> {
  const { name, kind, owner } = snapshot;
  const act = kind === "view" ? "view" : "prepare";
  const labels = checkLabels(`${act} snapshot ${quote(name)}`, snapshot.labels);
  const parent = snapshot.parent === undefined ? undefined : await findParent(queries, act, snapshot.parent);
  await requireFreeName(queries, act, name);
  const now = Date.now();
  const { id } = await queries
    .insertInto("snapshots")
    .values({
      name,
      kind,
      parent_id: parent?.id ?? null,
      labels: JSON.stringify(labels),
      created_at: now,
      updated_at: now,
      bytes: null,
      inodes: null,
      state: "making",
      owner,
    })
    .returning("id")
    .executeTakeFirstOrThrow();
  return requireInserted(await findRowById(queries, id));
}

/** Lets everybody see a snapshot whose directory is there. */
export async function finishRow(queries: Queries, row: SnapshotRow): Promise<void> {
  const { numUpdatedRows } = await queries
    .updateTable("snapshots")
    .set({ state: "ready", owner: null })
    .where("id", "=", row.id)
    .where("state", "=", "making")
    .executeTakeFirst();
  if (numUpdatedRows === 0n) {
    throw new SnapshotError(
      "failed_precondition",
      `cannot prepare snapshot ${quote(row.name)}: another process took this one for dead and has removed it`,
    );
  }
}

export interface CommitChange {
  readonly name: string;
  readonly parent: string | undefined;
  readonly labels: Labels;
}

/** The parent that an active snapshot has once it is committed; checks everything that a commit needs. */
export async function checkCommit(
  queries: Queries,
  key: string,
  { name, parent }: CommitChange,
): Promise<{ row: SnapshotRow; parentId: number | null }> {
  await requireFreeName(queries, "commit", name);
  const row = requireRow("commit", key, await findRow(queries, key));
  if (row.kind !== "active") {
    throw new SnapshotError("failed_precondition", `cannot commit snapshot ${quote(key)}: it is ${kindText(row)}`);
  }
  if (parent === undefined || parent === row.parent) return { row, parentId: row.parent_id };
  if (row.parent !== null) {
    throw new SnapshotError(
      "invalid_argument",
      `cannot commit snapshot ${quote(key)} on ${quote(parent)}: its parent is ${quote(row.parent)}`,
    );
  }
  const { id } = await findParent(queries, "commit", parent, "failed_precondition");
  return { row, parentId: id };
}

/** Gives an active snapshot its name. */
export async function commitRow(
  queries: Queries,
  key: string,
  change: CommitChange & { readonly id: number; readonly usage: Usage },
): Promise<void> {
  const { row, parentId } = await checkCommit(queries, key, change);
  if (row.id !== change.id) requireRow("commit", key, undefined);
  const now = Date.now();
  await queries
    .updateTable("snapshots")
    .set({
      name: change.name,
      kind: "committed",
      parent_id: parentId,
      labels: JSON.stringify(change.labels),
      created_at: now,
      updated_at: now,
      bytes: change.usage.bytes,
      inodes: change.usage.inodes,
    })
    .where("id", "=", row.id)
    .execute();
}

/** Sets labels as `Snapshotter.update` says. */
export async function updateRow(
  queries: Queries,
  name: string,
  { labels, fieldPaths }: { labels: Labels; fieldPaths: readonly string[] },
): Promise<SnapshotRow> {
  const row = requireRow("update", name, await findRow(queries, name));
  const changed = changeLabels(JSON.parse(row.labels) as Labels, labels, { name, fieldPaths });
  const kept = JSON.stringify(checkLabels(`update snapshot ${quote(name)}`, changed));
  const update = { labels: kept, updated_at: Math.max(Date.now(), row.updated_at) };
  await queries.updateTable("snapshots").set(update).where("id", "=", row.id).execute();
  return { ...row, ...update };
}

function changeLabels(
  before: Labels,
  given: Labels,
  { name, fieldPaths }: { name: string; fieldPaths: readonly string[] },
): Labels {
  if (fieldPaths.length === 0) return given;
  let labels = new Map(Object.entries(before));
  for (const path of fieldPaths) {
    if (path === "labels") {
      labels = new Map(Object.entries(given));
    } else if (path.startsWith("labels.")) {
      const label = path.slice("labels.".length);
      labels.set(label, Object.hasOwn(given, label) ? (given[label] ?? "") : "");
    } else {
      throw new SnapshotError(
        "invalid_argument",
        `cannot update snapshot ${quote(name)}: field ${quote(path)} cannot be set`,
      );
    }
  }
  return Object.fromEntries(labels);
}

/** Takes away the row of a snapshot without children. */
export async function deleteRow(queries: Queries, name: string, id: number): Promise<void> {
  const row = requireRow("remove", name, await findRow(queries, name));
  if (row.id !== id) requireRow("remove", name, undefined);
  const children = await listChildren(queries, id);
  const child = children.find(({ state }) => state === "ready") ?? children[0];
  if (child !== undefined) {
    const state = `it is the parent of ${quote(child.name)}`;
    const refusal = new SnapshotError("failed_precondition", `cannot remove snapshot ${quote(name)}: ${state}`);
    throw child.state === "ready" ? refusal : new UnfinishedRow(child, refusal);
  }
  await queries.deleteFrom("snapshots").where("id", "=", id).execute();
}

async function requireFreeName(queries: Queries, act: string, name: string): Promise<void> {
  const row = await findRow(queries, name);
  if (row === undefined) return;
  const refusal = new SnapshotError(
    "already_exists",
    `cannot ${act} snapshot ${quote(name)}: the name is of ${kindText(row)}`,
  );
  throw row.state === "ready" ? refusal : new UnfinishedRow(row, refusal);
}

async function findParent(
  queries: Queries,
  act: string,
  parent: string,
  code: "invalid_argument" | "failed_precondition" = "invalid_argument",
): Promise<SnapshotRow> {
  const row = await findRow(queries, parent);
  if (row?.state !== "ready") {
    throw new SnapshotError("not_found", `cannot ${act} a snapshot on ${quote(parent)}: there is none`);
  }
  if (row.kind !== "committed") {
    throw new SnapshotError(code, `cannot ${act} a snapshot on ${quote(parent)}: it is ${kindText(row)}`);
  }
  return row;
}

function kindText({ kind }: SnapshotRow): string {
  return kind === "view" ? "a view" : kind === "active" ? "an active snapshot" : "a committed snapshot";
}

function requireInserted(row: SnapshotRow | undefined): SnapshotRow {
  if (row === undefined)
    throw new SnapshotError("snapshot_invalid", "cannot read the row of a new snapshot: it is gone");
  return row;
}
