// A process of its own that shares a database with the tests: `node worker.mjs FILE TASK`. It says "ready" when it is where the task says.
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { openDatabase, sql } from "../dist/index.js";

const [file, task, count] = process.argv.slice(2);
const migrations = {
  "1-counters": {
    up: async (kysely) => {
      await kysely.schema.createTable("counters").addColumn("name", "text").addColumn("value", "integer").execute();
      await sql`insert into counters values ('all', 0)`.execute(kysely);
    },
  },
};

const database = await openDatabase(file, { migrations });
const tasks = {
  async open() {
    ready();
  },
  /** Reads, pauses and writes: additions are lost if writes are not alone. */
  async add() {
    for (let at = 0; at < Number(count); at++)
      await database.write(async (queries) => {
        const { value } = await queries.selectFrom("counters").selectAll().executeTakeFirstOrThrow();
        await sleep(1);
        await queries
          .updateTable("counters")
          .set({ value: value + 1 })
          .execute();
      });
    ready();
  },
  async halfWrite() {
    await database.write(async (queries) => {
      await queries.updateTable("counters").set({ value: 1000 }).execute();
      ready();
      await sleep(60_000);
    });
  },
  async claim() {
    await database.exclusively("the claim", async () => {
      ready();
      await sleep(60_000);
    });
  },
  /** Takes the claim again and again, and notes when each holding began and ended. */
  async takeTurns() {
    for (let at = 0; at < Number(count); at++)
      await database.exclusively("the claim", async () => {
        say(`begin ${process.hrtime.bigint()}`);
        await sleep(3);
        say(`end ${process.hrtime.bigint()}`);
      });
  },
};
await tasks[task]();
await database[Symbol.asyncDispose]();

function ready() {
  say("ready");
}

function say(line) {
  writeSync(1, `${line}\n`);
}
