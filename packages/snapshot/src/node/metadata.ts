import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";

import { type Database, type Generated, type Migration, openDatabase } from "@lamella/database";
import { type CallOptions, quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { SnapshotKind } from "../snapshotter.js";

/*
 * A row's way:
 *
 *   (none) --prepare--> making --directory filled--> ready --commit--> ready, under its name
 *                         |                            |
 *                 owner dies: as if none            remove: none
 *
 * A directory is made only after its row is there, and removed only after its row is gone: a directory without a row is nobody's.
 */
interface SnapshotTable {
  /** Never used again, as it names the directory. */
  id: Generated<number>;
  /** Also a key: both are one space. */
  name: string;
  kind: SnapshotKind;
  parent_id: number | null;
  /** A JSON object of texts. */
  labels: string;
  /** Milliseconds since 1970. */
  created_at: number;
  updated_at: number;
  /** Of a committed snapshot, for which they cannot change. */
  bytes: number | null;
  inodes: number | null;
  state: "making" | "ready";
  /** The process that is making the directory. */
  owner: string | null;
}

export interface MetadataSchema {
  snapshots: SnapshotTable;
  settings: { name: string; value: string };
}

const DRIVER = "driver";

const initial: Migration = {
  async up(database) {
    const { schema } = database;
    await schema
      .createTable("snapshots")
      .addColumn("id", "integer", (column) => column.primaryKey().autoIncrement())
      .addColumn("name", "text", (column) => column.notNull().unique())
      .addColumn("kind", "text", (column) => column.notNull())
      .addColumn("parent_id", "integer", (column) => column.references("snapshots.id").onDelete("restrict"))
      .addColumn("labels", "text", (column) => column.notNull())
      .addColumn("created_at", "integer", (column) => column.notNull())
      .addColumn("updated_at", "integer", (column) => column.notNull())
      .addColumn("bytes", "integer")
      .addColumn("inodes", "integer")
      .addColumn("state", "text", (column) => column.notNull())
      .addColumn("owner", "text")
      .execute();
    await schema.createIndex("snapshots_by_parent").on("snapshots").column("parent_id").execute();
    await schema
      .createTable("settings")
      .addColumn("name", "text", (column) => column.notNull().primaryKey())
      .addColumn("value", "text", (column) => column.notNull())
      .execute();
  },
};

const MIGRATIONS = { "001_snapshots": initial };

/** Of a directory of snapshots. */
export const METADATA_FILE = "metadata.db";

export interface OpenMetadataOptions extends CallOptions {
  /** The name of the driver that the snapshots are for. */
  driver: string;
  busyTimeoutMs?: number | undefined;
}

/**
 * Opens the rows of a directory of snapshots, or makes them.
 * @throws {SnapshotError} `failed_precondition` if the snapshots are another driver's; {@link DatabaseError}
 */
export async function openMetadata(path: string, options: OpenMetadataOptions): Promise<Database<MetadataSchema>> {
  const { driver, busyTimeoutMs, signal } = options;
  signal?.throwIfAborted();
  await mkdir(dirname(path), { recursive: true });
  const database = await openDatabase<MetadataSchema>(path, {
    migrations: MIGRATIONS,
    ...(busyTimeoutMs === undefined ? {} : { busyTimeoutMs }),
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    const owner = await claimDriver(database, options);
    if (owner === driver) return database;
    throw new SnapshotError(
      "failed_precondition",
      `cannot open snapshots in ${quote(dirname(path))} with driver ${quote(driver)}: they were made with ${quote(owner)}`,
    );
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}

/** The name of the driver whose snapshots are in a directory; undefined where there are none. @throws {DatabaseError} */
export async function snapshotDriverName(directory: string, options: CallOptions = {}): Promise<string | undefined> {
  const path = join(directory, METADATA_FILE);
  if (!existsSync(path)) return undefined;
  await using database = await openDatabase<MetadataSchema>(path, { migrations: MIGRATIONS, ...options });
  const found = await database.read(
    (queries) => queries.selectFrom("settings").select("value").where("name", "=", DRIVER).executeTakeFirst(),
    options,
  );
  return found?.value;
}

async function claimDriver(
  database: Database<MetadataSchema>,
  { driver, signal }: OpenMetadataOptions,
): Promise<string> {
  return database.write(
    async (queries) => {
      await queries
        .insertInto("settings")
        .values({ name: DRIVER, value: driver })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      const { value } = await queries
        .selectFrom("settings")
        .select("value")
        .where("name", "=", DRIVER)
        .executeTakeFirstOrThrow();
      return value;
    },
    { signal },
  );
}
