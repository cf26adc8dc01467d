import { setTimeout as sleep } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { CLAIM_TIMES, Claims } from "../src/claims.js";
import type { ClaimsSchema } from "../src/claims.js";
import { processOwner } from "../src/index.js";
import type { Database } from "../src/index.js";
import { openCounters, withCounters } from "./counters.js";
import type { Counters } from "./counters.js";

/** What a process in another pid namespace of this boot would have written. */
async function foreignOwner(): Promise<string> {
  const [boot] = (await processOwner()).split(":");
  return `${boot}:1.1:4711:1:x`;
}

function claimsOf(database: Database<Counters>): Database<ClaimsSchema> {
  return database as unknown as Database<ClaimsSchema>;
}

async function plant(database: Database<Counters>, row: { owner: string; renewed: number }): Promise<void> {
  await claimsOf(database).write((queries) =>
    queries
      .insertInto("lamella_claims")
      .values({ name: "x", ...row })
      .execute(),
  );
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

describe("Database.exclusively()", () => {
  it("does one work after another under the same name, on one connection and on several", () =>
    withCounters(async (database, file) => {
      const other = await openCounters(file);
      let running = 0;
      let most = 0;
      const work = async (): Promise<void> => {
        most = Math.max(most, ++running);
        await sleep(2);
        running--;
      };
      const databases = [database, other, database, other, database];
      await Promise.all(databases.map((each) => each.exclusively("x", work)));
      expect(most).toBe(1);
      await other[Symbol.asyncDispose]();
    }));

  it("does work under different names at the same time", () =>
    withCounters(async (database) => {
      const inner = database.exclusively("a", () => database.exclusively("b", () => Promise.resolve("both")));
      expect(await inner).toBe("both");
    }));

  it("ends the claim when the work rejects, and rejects with the same", () =>
    withCounters(async (database) => {
      const failure = new Error("failed");
      await expect(database.exclusively("x", () => Promise.reject(failure))).rejects.toBe(failure);
      expect(await database.exclusively("x", () => Promise.resolve(1), { timeoutMs: 0 })).toBe(1);
    }));

  it("gives up after its time, and says who has the claim", () =>
    withCounters(async (database) => {
      await database.exclusively('odd "name"\n', async () => {
        const message = `cannot claim "odd \\"name\\"\\n": process ${process.pid} had it for 60 ms`;
        const second = database.exclusively('odd "name"\n', () => Promise.resolve(), { timeoutMs: 60 });
        await expect(second).rejects.toMatchObject({ code: "busy", message });
      });
    }));

  it("stops waiting when the signal aborts, and begins no work when it has", () =>
    withCounters(async (database) => {
      let began = false;
      const work = async (): Promise<void> => void (began = true);
      await database.exclusively("x", async () => {
        const controller = new AbortController();
        setTimeout(() => controller.abort(new Error("stop")), 30);
        await expect(database.exclusively("x", work, { signal: controller.signal })).rejects.toThrow("stop");
      });
      const signal = AbortSignal.abort(new Error("stop"));
      await expect(database.exclusively("x", work, { signal })).rejects.toThrow("stop");
      expect(began).toBe(false);
    }));

  it("takes the claim of a process of another boot, and of one whose pid another process has now", () =>
    withCounters(async (database) => {
      const [boot, namespaces, pid] = (await processOwner()).split(":");
      for (const owner of [`0:${namespaces}:${pid}:1:x`, `${boot}:${namespaces}:${pid}:1:x`, "of no form"]) {
        await plant(database, { owner, renewed: monotonicMs() });
        expect(await database.exclusively("x", () => Promise.resolve(1), { timeoutMs: 0 })).toBe(1);
      }
    }));

  it("respects a holder in another pid namespace for a minute after its last word", () =>
    withCounters(async (database) => {
      const owner = await foreignOwner();
      await plant(database, { owner, renewed: monotonicMs() - 55_000 });
      const taken = database.exclusively("x", () => Promise.resolve(1), { timeoutMs: 0 });
      await expect(taken).rejects.toMatchObject({ code: "busy", message: expect.stringContaining("process 4711") });
      await claimsOf(database).write((queries) =>
        queries
          .updateTable("lamella_claims")
          .set({ renewed: monotonicMs() - 61_000 })
          .execute(),
      );
      expect(await database.exclusively("x", () => Promise.resolve(1), { timeoutMs: 0 })).toBe(1);
    }));

  it("is heard of while its work runs", () =>
    withCounters(async (database) => {
      const claims = new Claims(claimsOf(database), { ...CLAIM_TIMES, heartbeatMs: 20 });
      const renewed = (): Promise<number> =>
        claimsOf(database).read(
          async (queries) =>
            (await queries.selectFrom("lamella_claims").select("renewed").executeTakeFirstOrThrow()).renewed,
        );
      const work = async (): Promise<void> => {
        const first = await renewed();
        await expect.poll(renewed).toBeGreaterThan(first);
      };
      await claims.hold("x", work, { timeoutMs: 0 });
    }));

  it("lets a claim go later when the database is busy at the end of its work", () =>
    withCounters(async (database, file) => {
      const impatient = await openCounters(file, { busyTimeoutMs: 30 });
      const claims = new Claims(claimsOf(impatient), { ...CLAIM_TIMES, heartbeatMs: 20 });
      let writing = Promise.resolve();
      const work = async (): Promise<string> => {
        await new Promise<void>((resolve) => {
          writing = database.write(async () => {
            resolve();
            await sleep(150);
          });
        });
        return "done";
      };
      expect(await claims.hold("x", work, { timeoutMs: 0 })).toBe("done");
      await writing;
      expect(await database.exclusively("x", () => Promise.resolve(1), { timeoutMs: 5000 })).toBe(1);
      await impatient[Symbol.asyncDispose]();
    }));
});
