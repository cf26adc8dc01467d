import { closeSync, openSync, statfsSync } from "node:fs";
import { dirname } from "node:path";

import type { DatabaseSync } from "@photostructure/sqlite";

import { DatabaseError } from "./errors.js";
import type { DatabaseErrorCode } from "./errors.js";
import { isTooManyFiles, TOO_MANY_FILES } from "./open-files.js";

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
      throw sqliteError(error, "open", file);
    }
  };
}

/** What SQLite needs beside the file while it is open: the memory that connections share. */
const LEAST_FREE_BYTES = 32_768;
/** The database, its log, the memory, a journal, a directory. */
const FILES_OF_A_CONNECTION = 5;

/** Whether another connection has what a statement needs: trying again may help. */
export function isBusy(error: unknown): boolean {
  const code = primaryCode(error);
  return code === SQLITE_BUSY || code === SQLITE_LOCKED;
}

/**
 * What SQLite has thrown as an error of ours where the state of the file is the cause, otherwise as it is.
 * @param action what could not be done, after "cannot"
 */
export function sqliteError(error: unknown, action: string, file: string): unknown {
  const code = CODES.get(primaryCode(error) ?? 0);
  if (code === undefined) return error;
  const what = `cannot ${action} database ${JSON.stringify(file)}`;
  const told = { code, state: (error as Error).message };
  const { code: found, state } = code === "unavailable" ? (systemState(file) ?? told) : told;
  return new DatabaseError(found, `${what}: ${state}`, { cause: error });
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

/** SQLite does not say why a file cannot be opened or written; often the system still does. */
function systemState(file: string): { code: DatabaseErrorCode; state: string } | undefined {
  const opened: number[] = [];
  try {
    // not the file itself: closing it would end the locks that this process has on it
    while (opened.length < FILES_OF_A_CONNECTION) opened.push(openSync(dirname(file), "r"));
    const { bavail, bsize, files, ffree } = statfsSync(dirname(file));
    if (bavail * bsize < LEAST_FREE_BYTES || (files > 0 && ffree === 0)) {
      return { code: "no_space", state: "the file system has no room or no inodes left" };
    }
  } catch (error) {
    if (isTooManyFiles(error)) return { code: "too_many_files", state: TOO_MANY_FILES };
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
  return undefined;
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
