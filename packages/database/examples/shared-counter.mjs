import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openDatabase } from "@lamella/database";

const migrations = {
  "1-visits": {
    up: (kysely) =>
      kysely.schema
        .createTable("visits")
        .addColumn("place", "text", (column) => column.primaryKey())
        .addColumn("count", "integer", (column) => column.notNull())
        .execute(),
  },
};

const directory = await mkdtemp(join(tmpdir(), "database-"));
const database = await openDatabase(join(directory, "visits.db"), { migrations });
try {
  // all of it or nothing, whatever other processes write
  await database.write(async (queries) => {
    for (const place of ["Bergen", "Kiruna", "Bergen"])
      await queries
        .insertInto("visits")
        .values({ place, count: 1 })
        .onConflict((conflict) =>
          conflict.column("place").doUpdateSet((row) => ({ count: row("visits.count", "+", 1) })),
        )
        .execute();
  });

  // one process at a time, for as long as it takes; a process that is killed leaves the claim to the next
  await database.exclusively("report", async () => {
    const visits = await database.read((queries) =>
      queries.selectFrom("visits").selectAll().orderBy("place").execute(),
    );
    for (const { place, count } of visits) console.log(`${place}: ${count}`);
  });
} finally {
  await database[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
}
