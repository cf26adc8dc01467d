import { LamellaError } from "@lamella/refs";

/**
 * - `busy`: other processes kept the database, or a claim, for longer than was waited.
 * - `newer_schema`: a later version of Lamella has written the database.
 * - `database_invalid`: the file is no database, or a damaged one.
 * - `unavailable`: the file cannot be opened, read or written: permissions, a read-only file system, an I/O error.
 * - `no_space`: the file system or a quota has no room for what was to be written, or no inode.
 * - `too_many_files`: this process, or the system, has as many files open as it may.
 * - `closed`: the database was disposed of before the call, or while it waited.
 */
export type DatabaseErrorCode =
  | "busy"
  | "newer_schema"
  | "database_invalid"
  | "unavailable"
  | "no_space"
  | "too_many_files"
  | "closed";

export class DatabaseError extends LamellaError<DatabaseErrorCode> {}
