import { readdirSync, readlinkSync } from "node:fs";
import { readFile, readdir, truncate, writeFile, mkdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { describe, expect, it } from "vitest";

import { openDatabase, sql } from "../src/index.js";
import type { Kysely } from "../src/index.js";
import { loadSqlite } from "../src/sqlite.js";
import { COUNTERS, openCounters, setValue, valueOf, withCounters, withFile } from "./counters.js";
import type { Counters } from "./counters.js";

describe("openDatabase()", () => {
  it("makes the directory and the file, in WAL, synced in full, with foreign keys and without a trusted schema", () =>
    withCounters(async (database, file) => {
      const pragmas = (queries: Kysely<Counters>): Promise<unknown> =>
        sql`select * from pragma_journal_mode, pragma_synchronous, pragma_foreign_keys, pragma_trusted_schema`
          .execute(queries)
          .then(({ rows }) => rows);
      const settings = [{ journal_mode: "wal", synchronous: 2, foreign_keys: 1, trusted_schema: 0 }];
      expect(await database.read(pragmas)).toEqual(settings);
      expect(await database.write(pragmas)).toEqual(settings);
      expect(await readdir(dirname(file))).toContain("counters.db");
    }));

  it("runs what migrations are missing, and each once", () =>
    withFile(async (file) => {
      const runs: string[] = [];
      const migration = (name: string): object => ({ [name]: { up: async () => void runs.push(name) } });
      for (const names of [["b"], ["b"], ["b", "a", "c"]]) {
        const migrations = Object.assign({}, ...names.map(migration)) as typeof COUNTERS;
        await (await openDatabase(file, { migrations }))[Symbol.asyncDispose]();
      }
      expect(runs).toEqual(["b", "a", "c"]);
    }));

  it("writes its log back when it is asked to", () =>
    withCounters(async (database, file) => {
      await setValue(database, 7);
      const before = await readFile(`${file}-wal`);
      expect(before.length).toBeGreaterThan(0);
      await database.checkpoint();
      expect((await readFile(`${file}-wal`)).length).toBe(0);
      expect(await valueOf(database)).toBe(7);
      const signal = AbortSignal.abort(new Error("gone"));
      await expect(database.checkpoint({ signal })).rejects.toBe(signal.reason);
    }));

  it("leaves nothing of migrations of which one fails", () =>
    withFile(async (file) => {
      const failing = { "2-fails": { up: () => Promise.reject(new Error("no such luck")) } };
      await expect(openCounters(file, { migrations: { ...COUNTERS, ...failing } })).rejects.toThrow("no such luck");
      const database = await openCounters(file);
      expect(await valueOf(database)).toBe(0);
      await database[Symbol.asyncDispose]();
    }));

  it("refuses a database that a later version has migrated, and leaves every byte of it", () =>
    withFile(async (file) => {
      const later = { "2-later": { up: () => Promise.resolve() } };
      await (await openCounters(file, { migrations: { ...COUNTERS, ...later } }))[Symbol.asyncDispose]();
      const before = await readFile(file);
      const message = `cannot open database "${file}": it has had the migration "2-later", which this version does not know`;
      await expect(openCounters(file)).rejects.toMatchObject({ code: "newer_schema", message });
      expect(await readFile(file)).toEqual(before);
    }));

  it("refuses what is no database, and a damaged one", () =>
    withFile(async (file) => {
      await mkdir(dirname(file));
      await writeFile(file, "a text of which nobody could think that it is a database\n".repeat(100));
      await expect(openCounters(file)).rejects.toMatchObject({ code: "database_invalid" });
      await truncate(file, 0);
      const connection = (await loadSqlite())(file);
      connection.exec("create table kysely_migration (name text)");
      connection.close();
      await truncate(file, 4096);
      await expect(openCounters(file)).rejects.toMatchObject({ code: "database_invalid" });
    }));

  it("says which file cannot be opened", () =>
    withFile(async (file) => {
      await mkdir(file, { recursive: true });
      const message = expect.stringContaining(`cannot open database "${file}": `);
      await expect(openCounters(file)).rejects.toMatchObject({ code: "unavailable", message });
    }));

  it("opens while another process writes", () =>
    withCounters(async (database, file) => {
      await database.write(async () => {
        const other = await openCounters(file, { busyTimeoutMs: 0 });
        expect(await valueOf(other)).toBe(0);
        await other[Symbol.asyncDispose]();
      });
    }));

  it("rejects with the reason of an aborted signal, and makes no file", () =>
    withFile(async (file) => {
      const signal = AbortSignal.abort(new Error("stop"));
      await expect(openCounters(file, { signal })).rejects.toThrow("stop");
      await expect(readdir(dirname(file))).rejects.toMatchObject({ code: "ENOENT" });
    }));
});

describe("Database.write()", () => {
  it("commits what its work did, and gives its result", () =>
    withCounters(async (database) => {
      const result = await database.write((queries) =>
        queries.updateTable("counters").set({ value: 7 }).executeTakeFirst(),
      );
      expect(result.numUpdatedRows).toBe(1n);
      expect(await valueOf(database)).toBe(7);
    }));

  it("rolls back when its work rejects, and rejects with the same", () =>
    withCounters(async (database) => {
      const failure = new Error("failed");
      const write = database.write(async (queries) => {
        await queries.updateTable("counters").set({ value: 7 }).execute();
        throw failure;
      });
      await expect(write).rejects.toBe(failure);
      expect(await valueOf(database)).toBe(0);
    }));

  it("rolls back when the signal aborts before the end of its work", () =>
    withCounters(async (database) => {
      const controller = new AbortController();
      const write = database.write(
        async (queries) => {
          await queries.updateTable("counters").set({ value: 7 }).execute();
          controller.abort(new Error("stop"));
        },
        { signal: controller.signal },
      );
      await expect(write).rejects.toThrow("stop");
      expect(await valueOf(database)).toBe(0);
    }));

  it("is alone: what one reads another does not change before its end", () =>
    withCounters(async (database) => {
      const add = (): Promise<void> =>
        database.write(async (queries) => {
          const { value } = await queries.selectFrom("counters").select("value").executeTakeFirstOrThrow();
          await sleep(1);
          await queries
            .updateTable("counters")
            .set({ value: value + 1 })
            .execute();
        });
      await Promise.all(Array.from({ length: 20 }, add));
      expect(await valueOf(database)).toBe(20);
    }));

  it("begins in the order of asking", () =>
    withCounters(async (database) => {
      const order: number[] = [];
      await Promise.all([...Array(9).keys()].map((at) => database.write(async () => void order.push(at))));
      expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }));

  it("stops waiting for its turn when the signal aborts, and lets the next go on", () =>
    withCounters(async (database) => {
      const controller = new AbortController();
      let began = false;
      const first = database.write(() => sleep(50));
      const second = database.write(async () => void (began = true), { signal: controller.signal });
      const third = setValue(database, 3);
      controller.abort(new Error("stop"));
      await expect(second).rejects.toThrow("stop");
      await Promise.all([first, third]);
      expect(began).toBe(false);
      expect(await valueOf(database)).toBe(3);
    }));

  it("waits for the writers of other connections, at most as long as it was told", () =>
    withCounters(async (database, file) => {
      const other = await openCounters(file, { busyTimeoutMs: 100 });
      await database.write(async () => {
        const message = `cannot write database "${file}": others kept it for 100 ms`;
        await expect(setValue(other, 1)).rejects.toMatchObject({ code: "busy", message });
      });
      await other[Symbol.asyncDispose]();
      const patient = await openCounters(file);
      const writes = database.write(() => sleep(40));
      await setValue(patient, 2);
      await writes;
      expect(await valueOf(database)).toBe(2);
      await patient[Symbol.asyncDispose]();
    }));

  it("stops waiting for the writers of other connections when the signal aborts", () =>
    withCounters(async (database, file) => {
      const other = await openCounters(file);
      await database.write(async () => {
        const controller = new AbortController();
        setTimeout(() => controller.abort(new Error("stop")), 50);
        await expect(other.write(async () => {}, { signal: controller.signal })).rejects.toThrow("stop");
      });
      await other[Symbol.asyncDispose]();
    }));

  it("refuses queries after its end", () =>
    withCounters(async (database) => {
      let kept: Kysely<Counters> | undefined;
      await database.write(async (queries) => void (kept = queries));
      const late = kept?.updateTable("counters").set({ value: 9 }).execute();
      await expect(late).rejects.toThrow("already committed");
      // nor do they become part of what comes later
      await database.write(async () => {
        await expect(kept?.updateTable("counters").set({ value: 9 }).execute()).rejects.toThrow("already committed");
      });
      expect(await valueOf(database)).toBe(0);
    }));

  it("rolls back the whole when SQLite has ended the transaction by itself", () =>
    withCounters(async (database) => {
      const write = database.write(async (queries) => {
        await queries.updateTable("counters").set({ value: 7 }).execute();
        await sql`insert or rollback into lamella_claims values ('a', 'a', 1), ('a', 'a', 1)`
          .execute(queries)
          .catch(() => {});
        await queries.updateTable("counters").set({ value: 8 }).execute();
      });
      await expect(write).rejects.toThrow("the transaction has ended");
      expect(await valueOf(database)).toBe(0);
    }));

  it("says that there is no room", () =>
    withCounters(async (database) => {
      const write = database.write(async (queries) => {
        await sql`pragma max_page_count = 20`.execute(queries);
        await sql`insert into counters values (zeroblob(1000000), 1)`.execute(queries);
      });
      await expect(write).rejects.toMatchObject({ code: "no_space" });
    }));
});

describe("Database.read()", () => {
  it("sees the state of its beginning, whatever is written meanwhile, and never half a write", () =>
    withCounters(async (database) => {
      await database.read(async (queries) => {
        await setValue(database, 5);
        expect(await queries.selectFrom("counters").select("value").execute()).toEqual([{ value: 0 }]);
      });
      await database.write(async (queries) => {
        await queries.updateTable("counters").set({ value: 6 }).execute();
        expect(await valueOf(database)).toBe(5);
      });
      expect(await valueOf(database)).toBe(6);
    }));

  it("streams rows, and leaves the rest when nobody wants them", () =>
    withCounters(async (database) => {
      await database.write(async (queries) => {
        for (let value = 1; value < 50; value++)
          await queries.insertInto("counters").values({ name: "x", value }).execute();
      });
      const seen: number[] = [];
      await database.read(async (queries) => {
        for await (const { value } of queries.selectFrom("counters").select("value").orderBy("value").stream()) {
          seen.push(value);
          if (value === 3) break;
        }
      });
      expect(seen).toEqual([0, 1, 2, 3]);
      await setValue(database, 1);
    }));

  it("refuses to write", () =>
    withCounters(async (database) => {
      const write = database.read((queries) => queries.updateTable("counters").set({ value: 7 }).execute());
      await expect(write).rejects.toMatchObject({ code: "unavailable" });
    }));

  it("rejects with the reason of an aborted signal, without doing its work", () =>
    withCounters(async (database) => {
      let began = false;
      const signal = AbortSignal.abort(new Error("stop"));
      await expect(database.read(async () => void (began = true), { signal })).rejects.toThrow("stop");
      expect(began).toBe(false);
    }));
});

describe("a disposed database", () => {
  it.skipIf(process.platform !== "linux")("has no file open once JavaScript's garbage is collected", () =>
    withFile(async (file) => {
      const openFiles = (): string[] =>
        readdirSync("/proc/self/fd")
          .map((fd) => {
            try {
              return readlinkSync(`/proc/self/fd/${fd}`);
            } catch {
              return "";
            }
          })
          .filter((path) => path.startsWith(file));
      const database = await openCounters(file);
      await setValue(database, 5);
      expect(openFiles().length).toBeGreaterThan(2);
      await database[Symbol.asyncDispose]();
      setFlagsFromString("--expose-gc");
      const collectGarbage = runInNewContext("gc") as () => void;
      await expect
        .poll(() => {
          collectGarbage();
          return openFiles();
        })
        .toEqual([]);
      expect(await readdir(dirname(file))).toEqual([basename(file)]);
    }),
  );

  it("let its transactions end, and refuses what waited and what comes", () =>
    withFile(async (file) => {
      const database = await openCounters(file);
      const running = database.write(async (queries) => {
        await sleep(20);
        await queries.updateTable("counters").set({ value: 4 }).execute();
      });
      const waiting = setValue(database, 5);
      const disposed = database[Symbol.asyncDispose]();
      const message = `cannot write database "${file}": it is closed`;
      await expect(waiting).rejects.toMatchObject({ code: "closed", message });
      await running;
      await disposed;
      await database[Symbol.asyncDispose]();
      await expect(valueOf(database)).rejects.toMatchObject({ code: "closed" });
      const again = await openCounters(file);
      expect(await valueOf(again)).toBe(4);
      await again[Symbol.asyncDispose]();
    }));
});
