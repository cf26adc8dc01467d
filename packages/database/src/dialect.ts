import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from "kysely";
import type { CompiledQuery, DatabaseConnection, Dialect, Driver, QueryResult } from "kysely";

import { sqliteError } from "./sqlite.js";
import type { SqliteConnection } from "./sqlite.js";

/** Statements kept prepared. */
const MAX_PREPARED = 64;

/** Kysely over a connection whose transactions somebody else begins and ends: there are no queries but within one. */
export function dialect(connection: SqliteConnection, file: string): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => driver(connection, file),
    createIntrospector: (kysely) => new SqliteIntrospector(kysely),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

function driver(connection: SqliteConnection, file: string): Driver {
  const queries = new Queries(connection, file);
  return {
    init: async () => {},
    acquireConnection: async () => queries,
    beginTransaction: async () => {},
    commitTransaction: async () => {},
    rollbackTransaction: async () => {},
    releaseConnection: async () => {},
    destroy: async () => queries.forget(),
  };
}

type Statement = ReturnType<SqliteConnection["prepare"]>;
type Values = Parameters<Statement["all"]>;

class Queries implements DatabaseConnection {
  readonly #connection: SqliteConnection;
  readonly #file: string;
  /** By text, the last used last: SQLite's memory for a statement is not free before JavaScript's garbage is collected. */
  readonly #prepared = new Map<string, Statement>();

  constructor(connection: SqliteConnection, file: string) {
    this.#connection = connection;
    this.#file = file;
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    return this.#explained(() => {
      const statement = this.#prepare(sql);
      const columns = statement.columns().map(({ name }) => name);
      if (columns.length > 0) return { rows: rowsOf<Row>(columns, statement.all(...(parameters as Values))) };
      const { changes, lastInsertRowid } = statement.run(...(parameters as Values));
      return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
    });
  }

  async *streamQuery<Row>({ sql, parameters }: CompiledQuery): AsyncIterableIterator<QueryResult<Row>> {
    // a statement of its own: the same query may be asked while this one still goes on
    const rows = this.#explained(() => this.#connection.prepare(sql).iterate(...(parameters as Values)));
    try {
      for (;;) {
        const next = this.#explained(() => rows.next());
        if (next.done) return;
        yield { rows: [next.value as Row] };
      }
    } finally {
      rows.return?.();
    }
  }

  /** A statement that somebody could still use keeps its connection, with its files and locks, even if that was closed. */
  forget(): void {
    this.#prepared.clear();
  }

  #prepareNew(sql: string): Statement {
    const statement = this.#connection.prepare(sql);
    // to make an object costs twice as much from outside of JavaScript as what it is made of
    statement.setReturnArrays(true);
    return statement;
  }

  #prepare(sql: string): Statement {
    const statement = this.#prepared.get(sql) ?? this.#prepareNew(sql);
    this.#prepared.delete(sql);
    this.#prepared.set(sql, statement);
    for (const oldest of this.#prepared.keys()) {
      if (this.#prepared.size <= MAX_PREPARED) break;
      this.#prepared.delete(oldest);
    }
    return statement;
  }

  #explained<Result>(query: () => Result): Result {
    // a full disk or an I/O error ends a transaction inside SQLite: what followed would be committed on its own
    if (!this.#connection.isTransaction) throw new Error("cannot query the database: the transaction has ended");
    try {
      return query();
    } catch (error) {
      throw sqliteError(error, "query", this.#file);
    }
  }
}

function rowsOf<Row>(columns: readonly string[], found: readonly unknown[]): Row[] {
  return (found as readonly (readonly unknown[])[]).map((values) => {
    const row: Record<string, unknown> = {};
    for (let at = 0; at < columns.length; at++) row[columns[at]!] = values[at];
    return row as Row;
  });
}
