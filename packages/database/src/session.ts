import type { CallOptions } from "@lamella/refs";
import { Kysely } from "kysely";

import { dialect } from "./dialect.js";
import { DatabaseError } from "./errors.js";
import { isBusy, SETTINGS, sqliteError } from "./sqlite.js";
import type { Access, SqliteConnect, SqliteConnection } from "./sqlite.js";
import { pause, Turns, within } from "./waiting.js";

/** Retries of processes that wait for each other are spread over this time. */
const RETRY_MS = 20;

const BEGIN: Readonly<Record<Access, string>> = {
  // SQLite takes the snapshot at the first query
  read: "begin; select 1 from sqlite_schema limit 1",
  write: "begin immediate",
};

export interface SessionOptions {
  readonly busyTimeoutMs: number;
  readonly access: Access;
}

/** One connection to the file, and its transactions, one after another. */
export class Session<Schema> {
  readonly #connection: SqliteConnection;
  readonly #file: string;
  readonly #options: SessionOptions;
  readonly #turns = new Turns();
  readonly #kysely: Kysely<Schema>;
  #closed = false;

  constructor(connection: SqliteConnection, file: string, options: SessionOptions) {
    this.#connection = connection;
    this.#file = file;
    this.#options = options;
    this.#kysely = new Kysely<Schema>({ dialect: dialect(connection, file) });
  }

  /** Runs a statement outside of any transaction, again and again until nobody is in its way. */
  async execute(statement: string, options: CallOptions = {}): Promise<void> {
    const end = await this.#wait(() => this.#connection.exec(statement), options);
    end();
  }

  /** Commits what `work` did when it resolves, and rolls it back when it rejects or the signal has aborted. */
  async transact<Result>(
    work: (kysely: Kysely<Schema>) => Promise<Result>,
    options: CallOptions = {},
  ): Promise<Result> {
    const end = await this.#wait(() => this.#begin(), options);
    try {
      const result = await work(this.#kysely);
      options.signal?.throwIfAborted();
      this.#connection.exec("commit");
      return result;
    } catch (error) {
      this.#rollBack();
      throw sqliteError(error, this.#options.access, this.#file);
    } finally {
      end();
    }
  }

  /** Lets what runs end, refuses what waits, and closes the connection. */
  async close(): Promise<void> {
    this.#closed = true;
    const end = await this.#turns.take();
    await this.#kysely.destroy();
    if (this.#connection.isOpen) this.#connection.close();
    end();
  }

  /** Takes a turn and begins by `attempt`; gives what ends the turn. */
  async #wait(attempt: () => void, { signal }: CallOptions): Promise<() => void> {
    const { busyTimeoutMs: timeoutMs, access } = this.#options;
    const late = (): DatabaseError =>
      new DatabaseError(
        "busy",
        `cannot ${access} database ${JSON.stringify(this.#file)}: others kept it for ${timeoutMs} ms`,
      );
    return within({ timeoutMs, signal, late }, async (waiting) => {
      this.#refuseClosed();
      const end = await this.#turns.take(waiting);
      try {
        await this.#retry(attempt, waiting);
        return end;
      } catch (error) {
        end();
        throw error;
      }
    });
  }

  async #retry(attempt: () => void, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      this.#refuseClosed();
      try {
        return attempt();
      } catch (error) {
        if (!isBusy(error)) throw sqliteError(error, this.#options.access, this.#file);
      }
      await pause(1 + Math.random() * RETRY_MS, signal);
    }
  }

  #begin(): void {
    try {
      this.#connection.exec(BEGIN[this.#options.access]);
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  #rollBack(): void {
    if (this.#connection.isTransaction) this.#connection.exec("rollback");
  }

  #refuseClosed(): void {
    if (this.#closed)
      throw new DatabaseError(
        "closed",
        `cannot ${this.#options.access} database ${JSON.stringify(this.#file)}: it is closed`,
      );
  }
}

/** Opens a session whose connection is set up; the caller closes it. */
export async function openSession<Schema>(
  connect: SqliteConnect,
  file: string,
  options: SessionOptions & CallOptions,
): Promise<Session<Schema>> {
  const connection = connect(file);
  const session = new Session<Schema>(connection, file, options);
  try {
    await session.execute(SETTINGS[options.access], options);
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}
