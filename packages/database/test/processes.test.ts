import { startWorker } from "@lamella/presets/worker-process";
import { describe, expect, it } from "vitest";

import { openCounters, setValue, valueOf, withCounters, withFile } from "./counters.js";

const WORKER = new URL("worker.mjs", import.meta.url);

describe("several processes", () => {
  it("open a database that is not there, eight at once, and migrate it once", () =>
    withFile(async (file) => {
      const workers = Array.from({ length: 8 }, () => startWorker(WORKER, file, "open"));
      await Promise.all(workers.map(({ ended }) => ended));
      const database = await openCounters(file);
      expect(await database.read((queries) => queries.selectFrom("counters").selectAll().execute())).toEqual([
        { name: "all", value: 0 },
      ]);
      await database[Symbol.asyncDispose]();
    }));

  it("write in turn: nothing that one has added is lost by another", () =>
    withCounters(async (database, file) => {
      const workers = Array.from({ length: 4 }, () => startWorker(WORKER, file, "add", "25"));
      await Promise.all(workers.map(({ ended }) => ended));
      expect(await valueOf(database)).toBe(100);
    }));

  it("never hold a claim at the same time", () =>
    withCounters(async (_, file) => {
      const workers = Array.from({ length: 3 }, () => startWorker(WORKER, file, "takeTurns", "5"));
      const said = (await Promise.all(workers.map(({ ended }) => ended))).join("");
      const events = [...said.matchAll(/(begin|end) (\d+)/g)]
        .map(([, what, at]) => ({ what, at: BigInt(at ?? 0) }))
        .sort((a, b) => (a.at < b.at ? -1 : 1));
      expect(events.map(({ what }) => what)).toEqual(Array.from({ length: 15 }, () => ["begin", "end"]).flat());
    }));
});

describe("a process killed by SIGKILL", () => {
  it("in the middle of a write leaves the old state, and the way free", () =>
    withCounters(async (database, file) => {
      await setValue(database, 1);
      const worker = startWorker(WORKER, file, "halfWrite");
      await worker.ready;
      expect(await valueOf(database)).toBe(1);
      await worker.kill();
      expect(await valueOf(database)).toBe(1);
      await setValue(database, 2);
      expect(await valueOf(database)).toBe(2);
    }));

  it("leaves its claim to whoever waits for it", () =>
    withCounters(async (database, file) => {
      const worker = startWorker(WORKER, file, "claim");
      await worker.ready;
      let held = true;
      const next = database.exclusively("the claim", () => Promise.resolve(held));
      await expect(
        database.exclusively("the claim", () => Promise.resolve(), { timeoutMs: 100 }),
      ).rejects.toMatchObject({
        code: "busy",
      });
      held = false;
      await worker.kill();
      expect(await next).toBe(false);
    }));
});
