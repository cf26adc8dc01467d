import type { CallOptions } from "@lamella/refs";
import { Migrator, sql } from "kysely";
import type { Kysely, Migration } from "kysely";

import { CLAIMS_TABLE } from "./claims.js";
import { DatabaseError } from "./errors.js";
import type { Session } from "./session.js";

const MIGRATIONS_TABLE = "kysely_migration";

export type Migrations = Readonly<Record<string, Migration>>;

/**
 * Brings the database to the newest of `migrations`: all of them or none, once however many processes try at the same time. A database
 * that is there already is only read.
 */
export async function migrate<Schema>(
  { reader, writer }: Readonly<Record<"reader" | "writer", Session<Schema>>>,
  { migrations, file, signal }: { migrations: Migrations; file: string } & CallOptions,
): Promise<void> {
  const call = { signal };
  const isCurrent = (kysely: Kysely<Schema>): Promise<boolean> => compare(kysely, migrations, file);
  if (await reader.transact(isCurrent, call)) return;
  await writer.execute("pragma journal_mode = wal", call);
  await writer.transact(async (kysely) => {
    if (await isCurrent(kysely)) return;
    await sql`create table if not exists ${sql.table(CLAIMS_TABLE)}
      (name text primary key, owner text not null, renewed integer not null) strict, without rowid`.execute(kysely);
    const provider = { getMigrations: async (): Promise<Record<string, Migration>> => ({ ...migrations }) };
    const migrator = new Migrator({ db: kysely, provider, allowUnorderedMigrations: true });
    const { error } = await migrator.migrateToLatest();
    if (error !== undefined) throw error;
  }, call);
}

/** Whether nothing is left to do. Refuses what a later version has done. */
async function compare<Schema>(kysely: Kysely<Schema>, migrations: Migrations, file: string): Promise<boolean> {
  const { rows: tables } = await sql<{ name: string }>`select name from sqlite_schema where type = 'table'`.execute(
    kysely,
  );
  const names = new Set(tables.map(({ name }) => name));
  if (!names.has(MIGRATIONS_TABLE)) return false;
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(MIGRATIONS_TABLE)}`.execute(kysely);
  const done = new Set(rows.map(({ name }) => name));
  for (const name of done)
    if (!Object.hasOwn(migrations, name)) {
      const state = `it has had the migration ${JSON.stringify(name)}, which this version does not know`;
      throw new DatabaseError("newer_schema", `cannot open database ${JSON.stringify(file)}: ${state}`);
    }
  return names.has(CLAIMS_TABLE) && Object.keys(migrations).every((name) => done.has(name));
}
