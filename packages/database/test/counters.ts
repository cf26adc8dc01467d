import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openDatabase, sql } from "../src/index.js";
import type { Database, Migration, OpenDatabaseOptions } from "../src/index.js";

/** The schema that `worker.mjs` makes too. */
export interface Counters {
  counters: { name: string; value: number };
}

export const COUNTERS: Readonly<Record<string, Migration>> = {
  "1-counters": {
    up: async (kysely) => {
      await kysely.schema.createTable("counters").addColumn("name", "text").addColumn("value", "integer").execute();
      await sql`insert into counters values ('all', 0)`.execute(kysely);
    },
  },
};

export function openCounters(file: string, options: Partial<OpenDatabaseOptions> = {}): Promise<Database<Counters>> {
  return openDatabase<Counters>(file, { migrations: COUNTERS, ...options });
}

export async function setValue(database: Database<Counters>, value: number): Promise<void> {
  await database.write((queries) => queries.updateTable("counters").set({ value }).execute());
}

export async function valueOf(database: Database<Counters>): Promise<number> {
  return database.read(
    async (queries) => (await queries.selectFrom("counters").select("value").executeTakeFirstOrThrow()).value,
  );
}

/** Runs `test` with the name of a file that is not there yet, in a directory that is gone afterwards. */
export async function withFile(test: (file: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "database-"));
  try {
    await test(join(directory, "new", "counters.db"));
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Runs `test` with a fresh database. */
export async function withCounters(test: (database: Database<Counters>, file: string) => Promise<void>): Promise<void> {
  await withFile(async (file) => {
    const database = await openCounters(file);
    try {
      await test(database, file);
    } finally {
      await database[Symbol.asyncDispose]();
    }
  });
}
