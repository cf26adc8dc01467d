import { randomBytes } from "node:crypto";

import type { CallOptions } from "@lamella/refs";
import type { Kysely } from "kysely";

import { DatabaseError } from "./errors.js";
import { ownerOfThisProcess, ownerState } from "./owner.js";
import { pause } from "./waiting.js";

export interface ClaimTimes {
  readonly firstPollMs: number;
  readonly lastPollMs: number;
  /** How often a holder says that it lives. */
  readonly heartbeatMs: number;
  /** How long a holder that cannot be asked for may say nothing. */
  readonly staleMs: number;
}

export const CLAIM_TIMES: ClaimTimes = { firstPollMs: 50, lastPollMs: 250, heartbeatMs: 10_000, staleMs: 60_000 };

export interface ClaimsSchema {
  lamella_claims: {
    name: string;
    /** `processOwner` ":" a random part, so that claims of one process exclude each other. */
    owner: string;
    /** Milliseconds of the machine's monotonic clock, which all its processes share and which stands still while it sleeps. */
    renewed: number;
  };
}

export const CLAIMS_TABLE = "lamella_claims";

type Transact = <Result>(
  work: (queries: Kysely<ClaimsSchema>) => Promise<Result>,
  options?: CallOptions,
) => Promise<Result>;

interface ClaimsDatabase {
  read: Transact;
  write: Transact;
}

interface ClaimOptions extends CallOptions {
  readonly timeoutMs: number;
}

/** Claims of names, in the table that all processes share. */
export class Claims {
  readonly #database: ClaimsDatabase;
  readonly #times: ClaimTimes;

  constructor(database: ClaimsDatabase, times: ClaimTimes) {
    this.#database = database;
    this.#times = times;
  }

  /** Waits for the claim, does `work`, and lets it go. */
  async hold<Result>(name: string, work: () => Promise<Result>, options: ClaimOptions): Promise<Result> {
    const owner = await this.#take(name, options);
    let over = false;
    const timer = setInterval(() => {
      const said = over ? this.#release(name, owner).then(() => clearInterval(timer)) : this.#renew(name, owner);
      said.catch(() => {});
    }, this.#times.heartbeatMs);
    timer.unref();
    const end = async (): Promise<void> => {
      over = true;
      try {
        await this.#release(name, owner);
      } catch (error) {
        // tried again at the next heartbeat: the claim would last as long as this process
        if (error instanceof DatabaseError && error.code === "busy") return;
        clearInterval(timer);
        throw error;
      }
      clearInterval(timer);
    };
    let result: Result;
    try {
      result = await work();
    } catch (error) {
      await end().catch(() => {});
      throw error;
    }
    await end();
    return result;
  }

  async #take(name: string, { timeoutMs, signal }: ClaimOptions): Promise<string> {
    const began = now();
    const owner = `${ownerOfThisProcess()}:${randomBytes(9).toString("base64url")}`;
    for (let wait = this.#times.firstPollMs; ; wait = Math.min(wait * 1.5, this.#times.lastPollMs)) {
      const held = await this.#database.read((queries) => find(queries, name), { signal });
      if (held === undefined || this.#isAbandoned(held)) {
        if (await this.#database.write((queries) => replace(queries, { name, owner, held }), { signal })) return owner;
      }
      const left = timeoutMs - (now() - began);
      if (left <= 0) {
        const holder = held === undefined ? "another process" : `process ${held.owner.split(":")[2]}`;
        throw new DatabaseError("busy", `cannot claim ${JSON.stringify(name)}: ${holder} had it for ${timeoutMs} ms`);
      }
      await pause(Math.min(wait, left), signal);
    }
  }

  #isAbandoned({ owner, renewed }: { owner: string; renewed: number }): boolean {
    const state = ownerState(owner);
    // the clock begins anew with each boot
    return state === "dead" || (state === "unknown" && (now() - renewed > this.#times.staleMs || renewed > now()));
  }

  async #renew(name: string, owner: string): Promise<void> {
    await this.#database.write((queries) =>
      queries
        .updateTable(CLAIMS_TABLE)
        .set({ renewed: now() })
        .where("name", "=", name)
        .where("owner", "=", owner)
        .execute(),
    );
  }

  async #release(name: string, owner: string): Promise<void> {
    await this.#database.write((queries) =>
      queries.deleteFrom(CLAIMS_TABLE).where("name", "=", name).where("owner", "=", owner).execute(),
    );
  }
}

type Held = Pick<ClaimsSchema["lamella_claims"], "owner" | "renewed">;

function find(queries: Kysely<ClaimsSchema>, name: string): Promise<Held | undefined> {
  return queries.selectFrom(CLAIMS_TABLE).select(["owner", "renewed"]).where("name", "=", name).executeTakeFirst();
}

/** Whether the claim was still as it had been seen, and has passed to `owner`. */
async function replace(
  queries: Kysely<ClaimsSchema>,
  { name, owner, held }: { name: string; owner: string; held: Held | undefined },
): Promise<boolean> {
  const current = await find(queries, name);
  if (current?.owner !== held?.owner || current?.renewed !== held?.renewed) return false;
  const row = { name, owner, renewed: now() };
  await queries.replaceInto(CLAIMS_TABLE).values(row).execute();
  return true;
}

function now(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}
