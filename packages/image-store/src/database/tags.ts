import { sql } from "@lamella/database";
import type { Kysely, Transaction } from "@lamella/database";
import { quote } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";

import { ImageStoreError } from "../errors.js";
import type { StoreSchema, TagScope } from "./schema.js";
import { parseStored } from "./stored-json.js";

/** A name in the store, of an image or of another artifact. */
export interface Tag {
  readonly name: string;
  /** Of the index or manifest that it stands for. */
  readonly descriptor: Descriptor;
  readonly scope: TagScope;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface TagFilter {
  /** Only names that begin so. */
  prefix?: string | undefined;
  /** Only names that come after this one. */
  after?: string | undefined;
  /** At most so many. */
  limit?: number | undefined;
  /** Only names of this manifest or index. */
  digest?: Digest | undefined;
  scope?: TagScope | undefined;
}

/** No character of a name comes after it, in the order of the database. */
const LAST_CHARACTER = "\u{10ffff}";
const MAX_NAME_LENGTH = 512;
const CONTROL = /\p{Cc}/u;

/** Names in the order of their bytes. */
export async function listTags(queries: Kysely<StoreSchema>, filter: TagFilter): Promise<Tag[]> {
  const { prefix, after, limit, digest, scope } = filter;
  let query = queries.selectFrom("tags").selectAll().orderBy("name");
  if (prefix !== undefined) query = query.where("name", ">=", prefix).where("name", "<", prefix + LAST_CHARACTER);
  if (after !== undefined) query = query.where("name", ">", after);
  if (digest !== undefined) query = query.where("root_digest", "=", digest);
  if (scope !== undefined) query = query.where("scope", "=", scope);
  if (limit !== undefined) query = query.limit(limit);
  const rows = await query.execute();
  return rows.map((row) => ({
    name: row.name,
    descriptor: parseStored(row.descriptor) as Descriptor,
    scope: row.scope,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  }));
}

export interface NewTag {
  readonly name: string;
  readonly descriptor: Descriptor;
  readonly scope: TagScope;
  /** Refuses a name that stands for something else, instead of moving it. */
  readonly onlyIfFree?: boolean | undefined;
}

type TagRow = Pick<StoreSchema["tags"], "descriptor" | "root_digest" | "scope">;

/** What a name stands for, if it may stand for something else. @throws {ImageStoreError} `name_taken`, `name_invalid` */
export async function checkTag(queries: Kysely<StoreSchema>, tag: NewTag): Promise<TagRow | undefined> {
  const { name, descriptor, scope, onlyIfFree = false } = tag;
  checkName(name);
  const found = await queries
    .selectFrom("tags")
    .select(["descriptor", "root_digest", "scope"])
    .where("name", "=", name)
    .executeTakeFirst();
  if (found === undefined || found.root_digest === descriptor.digest) return found;
  if (!onlyIfFree && !isUsersOwn(found, scope)) return found;
  const state = `the name stands for ${found.root_digest}`;
  throw new ImageStoreError("name_taken", `cannot name ${descriptor.digest} ${quote(name)}: ${state}`);
}

function isUsersOwn(found: TagRow, wanted: TagScope): boolean {
  return found.scope === "local" && wanted === "registry";
}

/**
 * Lets a name stand for a manifest or an index. What the registry says never moves a name of the user's.
 * @throws {ImageStoreError} `name_taken`, `name_invalid`
 */
export async function setTag(queries: Transaction<StoreSchema>, tag: NewTag): Promise<void> {
  const { name, descriptor } = tag;
  const found = await checkTag(queries, tag);
  const now = Date.now();
  const text = JSON.stringify(descriptor);
  const scope = found !== undefined && isUsersOwn(found, tag.scope) ? "local" : tag.scope;
  const row = { descriptor: text, root_digest: descriptor.digest, scope };
  if (found?.descriptor === text && found.scope === row.scope) return;
  await queries
    .insertInto("tags")
    .values({ name, ...row, created_at: now, updated_at: now })
    .onConflict((conflict) => conflict.column("name").doUpdateSet({ ...row, updated_at: now }))
    .execute();
  await queries.deleteFrom("removed_tags").where("name", "=", name).execute();
  await countChange(queries);
}

/** Removes names, and gives those that there were. */
export async function removeTags(queries: Transaction<StoreSchema>, names: readonly string[]): Promise<string[]> {
  const removed: string[] = [];
  for (const name of names) {
    const { numDeletedRows } = await queries.deleteFrom("tags").where("name", "=", name).executeTakeFirst();
    if (numDeletedRows > 0n) removed.push(name);
  }
  if (removed.length === 0) return removed;
  const wanted = await countChange(queries);
  for (const name of removed) {
    await queries
      .insertInto("removed_tags")
      .values({ name, wanted })
      .onConflict((conflict) => conflict.column("name").doUpdateSet({ wanted }))
      .execute();
  }
  return removed;
}

/** Every change of tags counts here, in its own transaction: `index.json` is behind as long as it was written for a lesser count. */
async function countChange(queries: Transaction<StoreSchema>): Promise<number> {
  const { wanted } = await queries
    .updateTable("layout")
    .set({ wanted: sql`wanted + 1` })
    .returning("wanted")
    .executeTakeFirstOrThrow();
  return wanted;
}

/** Whether an image can have this name. */
export function isTagName(name: string): boolean {
  return problemOf(name) === undefined;
}

function checkName(name: string): void {
  const problem = problemOf(name);
  if (problem !== undefined)
    throw new ImageStoreError("name_invalid", `cannot name an image ${quote(name)}: ${problem}`);
}

function problemOf(name: string): string | undefined {
  if (name === "") return "it is empty";
  if (CONTROL.test(name)) return "it has control characters";
  return name.length > MAX_NAME_LENGTH ? `it is longer than ${MAX_NAME_LENGTH} characters` : undefined;
}
