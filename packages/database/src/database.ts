import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";

import type { CallOptions } from "@lamella/refs";
import type { Kysely, Migration, Transaction } from "kysely";

import { CLAIM_TIMES, Claims } from "./claims.js";
import type { ClaimsSchema } from "./claims.js";
import { migrate } from "./migrate.js";
import { openSession } from "./session.js";
import type { Session } from "./session.js";
import { loadSqlite } from "./sqlite.js";

const BUSY_TIMEOUT_MS = 30_000;

/**
 * A database that any number of processes have open at once. What `read` and `write` hand out is good for queries until the promise of
 * `work` settles, and refuses them afterwards. A `write` must not wait for another `write` of the same database, nor a `read` for a
 * `read`: they would wait for each other until `busy`.
 *
 * Calls reject with `DatabaseError` `busy`, `unavailable`, `no_space`, `database_invalid` or `closed`, with what `work` rejects with, and
 * with SQLite's own error where a query is wrong.
 *
 * Disposing waits for the transactions that run; what comes later is refused with `closed`. The work of `exclusively` must have ended.
 */
export interface Database<Schema> extends AsyncDisposable {
  /** Queries that see one state: that of the last commit before them, by whichever process. Waits for no writer. */
  read<Result>(work: (queries: Kysely<Schema>) => Promise<Result>, options?: CallOptions): Promise<Result>;
  /**
   * All that `work` does, or nothing: `BEGIN IMMEDIATE` … `COMMIT`, rolled back when `work` rejects, when the signal has aborted by its
   * end, or when the process is killed. What is committed survives a power cut. Waits for the writers of this and of other processes, at
   * most `busyTimeoutMs`. Keep `work` short: no I/O but queries.
   */
  write<Result>(work: (queries: Transaction<Schema>) => Promise<Result>, options?: CallOptions): Promise<Result>;
  /**
   * Does `work` while nobody else, in this process or any other, does any under the same claim name. A claim ends with its work or with
   * its process, however that ends. Waiting polls, every 50 ms growing to 250, and gives up with `busy` after `timeoutMs`, without which
   * it has no limit; 0 tries once. The signal ends the waiting, not the work.
   *
   * Whether the holder still runs is known at once within one boot and pid namespace. A holder in another pid namespace (a container that
   * shares the directory), or where there is no /proc, counts as running until it has not been heard of for 60 seconds; it is heard of
   * every 10 while its event loop turns.
   */
  exclusively<Result>(
    name: string,
    work: () => Promise<Result>,
    options?: CallOptions & { timeoutMs?: number | undefined },
  ): Promise<Result>;
  /** Writes the log (`FILE-wal`) back into the file and empties it, as far as no process reads or writes in it at the moment. Nothing depends on it. */
  checkpoint(options?: CallOptions): Promise<void>;
}

export interface OpenDatabaseOptions extends CallOptions {
  /** By name, run in the order of the names. One that has been released is never changed, renamed or left out. */
  migrations: Readonly<Record<string, Migration>>;
  /** How long `read` and `write` wait for others; 30,000 by default. */
  busyTimeoutMs?: number | undefined;
}

/**
 * Opens an SQLite database (WAL, synchronous=FULL, foreign keys on), makes it and its directory if need be, with the modes that the umask
 * leaves: it holds no secrets. Runs the migrations that are missing in one transaction; that several processes open it at once does no
 * harm. The table `lamella_claims` and those named `kysely_…` are not the caller's.
 *
 * Not for network file systems: WAL needs memory that all processes share.
 *
 * @throws DatabaseError `newer_schema` when the database has migrations that are not among these, and nothing has been changed then;
 * `database_invalid` when the file is no database, or damaged; `unavailable`, `no_space`, `busy`. What a migration throws comes through as
 * it is, after its work was rolled back.
 */
export async function openDatabase<Schema>(path: string, options: OpenDatabaseOptions): Promise<Database<Schema>> {
  const { migrations, busyTimeoutMs = BUSY_TIMEOUT_MS, signal } = options;
  signal?.throwIfAborted();
  // an absolute path is neither a URI nor a name like ":memory:"
  const file = resolve(path);
  await mkdir(dirname(file), { recursive: true });
  const connect = await loadSqlite();
  const reader = await openSession<Schema>(connect, file, { access: "read", busyTimeoutMs, signal });
  try {
    const writer = await openSession<Schema>(connect, file, { access: "write", busyTimeoutMs, signal });
    try {
      await migrate({ reader, writer }, { migrations, file, signal });
      return new SharedDatabase(reader, writer);
    } catch (error) {
      await writer.close();
      throw error;
    }
  } catch (error) {
    await reader.close();
    throw error;
  }
}

class SharedDatabase<Schema> implements Database<Schema> {
  readonly #reader: Session<Schema>;
  readonly #writer: Session<Schema>;
  readonly #claims: Claims;

  constructor(reader: Session<Schema>, writer: Session<Schema>) {
    this.#reader = reader;
    this.#writer = writer;
    // the table of claims is in every database, whatever its schema
    this.#claims = new Claims(this as unknown as Database<ClaimsSchema>, CLAIM_TIMES);
  }

  async read<Result>(work: (queries: Kysely<Schema>) => Promise<Result>, options?: CallOptions): Promise<Result> {
    return this.#reader.transact((kysely) => kysely.transaction().execute(work), options);
  }

  async write<Result>(work: (queries: Transaction<Schema>) => Promise<Result>, options?: CallOptions): Promise<Result> {
    return this.#writer.transact((kysely) => kysely.transaction().execute(work), options);
  }

  async exclusively<Result>(
    name: string,
    work: () => Promise<Result>,
    { signal, timeoutMs = Infinity }: CallOptions & { timeoutMs?: number | undefined } = {},
  ): Promise<Result> {
    return this.#claims.hold(name, work, { signal, timeoutMs });
  }

  async checkpoint(options?: CallOptions): Promise<void> {
    await this.#writer.execute("pragma wal_checkpoint(truncate)", options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.close();
    await this.#writer.close();
  }
}
