import type { DatabaseSync } from "@photostructure/sqlite";

import { DatabaseError } from "./errors.js";
import type { DatabaseErrorCode } from "./errors.js";

/** An open connection: `DatabaseSync` of node:sqlite, or of the package that brings the same to older Nodes. */
export type SqliteConnection = InstanceType<typeof DatabaseSync>;

/** Opens connections to one file. */
export type SqliteConnect = (file: string) => SqliteConnection;

/**
 * Before this version, a checkpoint at the moment of another connection's write could damage a WAL database
 * (https://sqlite.org/wal.html, "the WAL-reset bug").
 */
const SAFE_SQLITE = [3, 51, 3] as const;

/**
 * SQLite blocks the event loop while it waits for a lock: it gets this long, and what is longer is waited asynchronously. Long enough for
 * the moments in which other processes open and close the file.
 */
const BLOCKING_WAIT_MS = 20;

/**
 * - `read`: a transaction that sees the state of its beginning; it waits for nobody who writes.
 * - `write`: one that nobody else's writing runs beside, from its beginning.
 */
export type Access = "read" | "write";

const COMMON_SETTINGS = `pragma busy_timeout = ${BLOCKING_WAIT_MS}; pragma foreign_keys = on; pragma trusted_schema = off; pragma synchronous = full`;

/** The settings that a connection, not the file, has. */
export const SETTINGS: Readonly<Record<Access, string>> = {
  read: `${COMMON_SETTINGS}; pragma query_only = on`,
  write: COMMON_SETTINGS,
};

/** Loads the SQLite of this Node where it is new enough, else the one of @photostructure/sqlite; never both. */
export async function loadSqlite(): Promise<SqliteConnect> {
  const Connection = builtinSqlite() ?? (await import("@photostructure/sqlite")).DatabaseSync;
  return (file) => {
    try {
      return new Connection(file);
    } catch (error) {
      throw sqliteError(error, `open database ${JSON.stringify(file)}`);
    }
  };
}

/** Whether another connection has what a statement needs: trying again may help. */
export function isBusy(error: unknown): boolean {
  const code = primaryCode(error);
  return code === SQLITE_BUSY || code === SQLITE_LOCKED;
}

/**
 * What SQLite has thrown as an error of ours where the state of the file is the cause, otherwise as it is.
 * @param action what could not be done, after "cannot"
 */
export function sqliteError(error: unknown, action: string): unknown {
  const code = CODES.get(primaryCode(error) ?? 0);
  return code === undefined
    ? error
    : new DatabaseError(code, `cannot ${action}: ${(error as Error).message}`, { cause: error });
}

// https://sqlite.org/rescode.html
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const CODES: ReadonlyMap<number, DatabaseErrorCode> = new Map([
  [3, "unavailable"], // SQLITE_PERM
  [SQLITE_BUSY, "busy"],
  [SQLITE_LOCKED, "busy"],
  [8, "unavailable"], // SQLITE_READONLY
  [10, "unavailable"], // SQLITE_IOERR
  [11, "database_invalid"], // SQLITE_CORRUPT
  [13, "no_space"], // SQLITE_FULL
  [14, "unavailable"], // SQLITE_CANTOPEN
  [26, "database_invalid"], // SQLITE_NOTADB
]);

/** The low byte of an extended result code. */
function primaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  return error.errcode & 0xff;
}

function builtinSqlite(): typeof DatabaseSync | undefined {
  if (!isSafe(process.versions["sqlite"])) return undefined;
  const { emitWarning } = process;
  // some Nodes warn, on stderr, that their SQLite is experimental: nothing that a user of ours could act upon
  process.emitWarning = () => {};
  try {
    const loaded = process.getBuiltinModule?.("node:sqlite") as { DatabaseSync: typeof DatabaseSync } | undefined;
    return loaded?.DatabaseSync;
  } finally {
    process.emitWarning = emitWarning;
  }
}

function isSafe(version: string | undefined): boolean {
  if (version === undefined) return false;
  const parts = version.split(".").map(Number);
  for (const [at, least] of SAFE_SQLITE.entries()) {
    const part = parts[at] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}
