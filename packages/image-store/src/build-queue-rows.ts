import type { Kysely, Selectable, Transaction } from "@lamella/database";
import { formatPlatform, parsePlatform } from "@lamella/refs";
import type { Digest, Platform } from "@lamella/refs";

import type { BuildStatus, StoreSchema } from "./database/schema.js";
import { canonicalOptions, parseRequest } from "./disk-cache-key.js";
import type { DiskRequest } from "./disk-cache-key.js";

/** What is to be built: the disks of one platform of an image, under a name. */
export interface BuildRequest {
  readonly name: string;
  /** What the name stands for: an index or a manifest. */
  readonly digest: Digest;
  readonly platform: Platform;
  readonly request: DiskRequest;
}

/** A build, from when it was asked for. It stays known when it has ended. */
export interface Build extends BuildRequest {
  readonly id: number;
  readonly status: BuildStatus;
  /** Known from when the image's documents have been read. */
  readonly manifestDigest: Digest | undefined;
  /** Why it failed. */
  readonly error: string | undefined;
  readonly errorCode: string | undefined;
  /** How often it was begun. */
  readonly attempts: number;
  readonly createdAt: Date;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
}

/** A build as somebody has seen it: it was not made again as long as both are the same. */
export type BuildAttempt = Pick<Build, "id" | "attempts">;
export type BuildRow = Selectable<StoreSchema["builds"]>;
type Queries = Transaction<StoreSchema>;

const BEGUN = ["pulling", "converting"] as const;
const UNFINISHED = ["pending", ...BEGUN] as const;

export function isUnfinished(status: BuildStatus): boolean {
  return (UNFINISHED as readonly string[]).includes(status);
}

export function buildOf(row: BuildRow): Build {
  return {
    id: row.id,
    name: row.name,
    digest: row.root_digest!,
    platform: parsePlatform(row.platform),
    request: parseRequest(row.format, row.options),
    status: row.status,
    manifestDigest: row.manifest_digest ?? undefined,
    error: row.error ?? undefined,
    errorCode: row.error_code ?? undefined,
    attempts: row.attempts,
    createdAt: new Date(row.created_at),
    startedAt: dateOf(row.started_at),
    finishedAt: dateOf(row.finished_at),
  };
}

function dateOf(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}

/**
 * The build of a request: the one that is under way for the same name, platform, format and options, even if the name stood for something else then;
 * else the one that has ended, anew; else a new one. One that is ready stays so if `stale` is given and it is not there.
 */
export async function putBuild(
  queries: Queries,
  request: BuildRequest,
  owner: string,
  stale?: readonly BuildAttempt[],
): Promise<BuildRow> {
  const { name, digest: root_digest } = request;
  const wanted = {
    name,
    platform: formatPlatform(request.platform),
    format: request.request.format,
    options: canonicalOptions(request.request),
  };
  const idempotency_key = JSON.stringify(Object.values(wanted));
  const running = await queries
    .selectFrom("builds")
    .selectAll()
    .where("idempotency_key", "=", idempotency_key)
    .executeTakeFirst();
  if (running !== undefined) return running;
  const ended = await queries
    .selectFrom("builds")
    .selectAll()
    .where("name", "=", name)
    .where("platform", "=", wanted.platform)
    .where("format", "=", wanted.format)
    .where("options", "=", wanted.options)
    .where("root_digest", "=", root_digest)
    .executeTakeFirst();
  if (ended?.status === "ready" && stale?.some((seen) => isSameAttempt(seen, ended)) === false) return ended;
  await forgetSuperseded(queries, request);
  const fresh = { ...FRESH, owner, idempotency_key, created_at: Date.now() };
  if (ended === undefined) {
    const row = { ...wanted, ...fresh, root_digest, manifest_digest: null, disk_key: null };
    return queries.insertInto("builds").values(row).returningAll().executeTakeFirstOrThrow();
  }
  return queries.updateTable("builds").set(fresh).where("id", "=", ended.id).returningAll().executeTakeFirstOrThrow();
}

function isSameAttempt(one: BuildAttempt, other: BuildAttempt): boolean {
  return one.id === other.id && one.attempts === other.attempts;
}

/** What a name stood for before is remembered only as long as the image is there. */
async function forgetSuperseded(queries: Queries, { name, digest }: BuildRequest): Promise<void> {
  await queries
    .deleteFrom("builds")
    .where("name", "=", name)
    .where("root_digest", "!=", digest)
    .where("status", "not in", UNFINISHED)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom("images").select("platform").whereRef("images.manifest_digest", "=", "builds.manifest_digest"),
        ),
      ),
    )
    .execute();
}

const FRESH = { status: "pending", error: null, error_code: null, started_at: null, finished_at: null } as const;

/** Which build, as long as it is this queue's and has not ended. */
export interface OwnBuild {
  readonly id: number;
  readonly owner: string;
}

/** One attempt at it. */
export interface BegunBuild extends OwnBuild {
  readonly attempts: number;
}

type Change = Partial<Pick<BuildRow, "status" | "manifest_digest" | "disk_key" | "error" | "error_code">>;

/** Changes a build, unless it is not this attempt's any more: cancelled, also if it waits again; taken over or removed. Tells whether. */
export async function changeBuild(
  queries: Queries,
  { id, owner, attempts }: BegunBuild,
  change: Change,
): Promise<boolean> {
  const now = Date.now();
  const ends = change.status !== undefined && !isUnfinished(change.status);
  const { numUpdatedRows } = await queries
    .updateTable("builds")
    .set({ ...change, ...(ends && { finished_at: now, owner: null, idempotency_key: null }) })
    .where("id", "=", id)
    .where("owner", "=", owner)
    .where("attempts", "=", attempts)
    .where("status", "in", BEGUN)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Begins a build, or begins it again. Undefined for one that is not the queue's any more. */
export async function beginBuild(queries: Queries, { id, owner }: OwnBuild): Promise<BuildRow | undefined> {
  return queries
    .updateTable("builds")
    .set(({ eb }) => ({ status: "pulling", started_at: Date.now(), attempts: eb("attempts", "+", 1) }))
    .where("id", "=", id)
    .where("owner", "=", owner)
    .where("status", "in", UNFINISHED)
    .returningAll()
    .executeTakeFirst();
}

/** Ends a build that has not ended, whoever's it is. */
export async function cancelBuild(queries: Queries, id: number): Promise<BuildRow | undefined> {
  return queries
    .updateTable("builds")
    .set({ status: "cancelled", finished_at: Date.now(), owner: null, idempotency_key: null })
    .where("id", "=", id)
    .where("status", "in", UNFINISHED)
    .returningAll()
    .executeTakeFirst();
}

/** Gives what one queue has not ended to another, or to whoever wants it, to begin again. */
export async function passBuilds(queries: Queries, from: string | null, to: string | null): Promise<BuildRow[]> {
  const rows = await queries
    .updateTable("builds")
    .set({ status: "pending", owner: to, started_at: null })
    .where("owner", from === null ? "is" : "=", from)
    .where("status", "in", UNFINISHED)
    .returningAll()
    .execute();
  return rows.toSorted((one, other) => one.id - other.id);
}

/** What a queue has not ended, in the order in which it was asked for. */
export async function listOwn(queries: Kysely<StoreSchema>, owner: string): Promise<BuildRow[]> {
  return queries
    .selectFrom("builds")
    .selectAll()
    .where("owner", "=", owner)
    .where("status", "in", UNFINISHED)
    .orderBy("id")
    .execute();
}

/** The queues that have builds which have not ended; null for builds of none. */
export async function listOwners(queries: Kysely<StoreSchema>): Promise<(string | null)[]> {
  const rows = await queries
    .selectFrom("builds")
    .select("owner")
    .distinct()
    .where("status", "in", UNFINISHED)
    .execute();
  return rows.map(({ owner }) => owner);
}

/** The queue of a build that has not ended, null for none; undefined for one that has. */
export async function ownerOf(queries: Kysely<StoreSchema>, id: number): Promise<string | null | undefined> {
  const row = await queries
    .selectFrom("builds")
    .select("owner")
    .where("id", "=", id)
    .where("status", "in", UNFINISHED)
    .executeTakeFirst();
  return row?.owner;
}

/** How many builds the queue of a build has before it, itself included: 0 once it has begun. Undefined for one that has ended. */
export async function positionOf(queries: Kysely<StoreSchema>, id: number): Promise<number | undefined> {
  const row = await queries.selectFrom("builds").select(["status", "owner"]).where("id", "=", id).executeTakeFirst();
  if (row === undefined || !isUnfinished(row.status)) return undefined;
  if (row.status !== "pending") return 0;
  const { count } = await queries
    .selectFrom("builds")
    .select(({ fn }) => fn.countAll<number>().as("count"))
    .where("owner", row.owner === null ? "is" : "=", row.owner)
    .where("status", "=", "pending")
    .where("id", "<=", id)
    .executeTakeFirstOrThrow();
  return count;
}
