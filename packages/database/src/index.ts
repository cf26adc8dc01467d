export { openDatabase } from "./database.js";
export type { Database, OpenDatabaseOptions } from "./database.js";
export { DatabaseError } from "./errors.js";
export type { DatabaseErrorCode } from "./errors.js";
export { isOwnerAlive, processOwner } from "./owner.js";

// what callers need of the query builder, so that there is one version of it
export { sql } from "kysely";
export type {
  ColumnType,
  Generated,
  Insertable,
  Kysely,
  Migration,
  Selectable,
  SelectQueryBuilder,
  Transaction,
  Updateable,
} from "kysely";
