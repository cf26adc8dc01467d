import { access, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { DatabaseError, openDatabase, sql } from "@lamella/database";
import type { Database } from "@lamella/database";
import type { CallOptions } from "@lamella/refs";

import { checkStore, findingOf } from "./check.js";
import type { CheckOptions, Finding } from "./check.js";
import type { Fault } from "./check-fault.js";
import { MIGRATIONS } from "./database/migrations.js";
import type { StoreSchema } from "./database/schema.js";
import { isErrno } from "./durable.js";
import { rowProblem } from "./check-rows.js";
import { openImageStore } from "./image-store.js";
import { isLayoutFile, makeLayoutFile } from "./layout-index.js";

const DATABASE = "lamella.db";
/** With what SQLite keeps beside it. */
const DATABASE_FILES = [`${DATABASE}-wal`, `${DATABASE}-shm`, DATABASE];

/**
 * Checks the store of a directory as `ImageStore.check` does, and `oci-layout` and its database before. A damaged database is repaired by making it anew of
 * `index.json` and the blobs, for which nobody else may have the store open: names and images come back; disks, builds and which names are of registries
 * do not. The old one is kept beside it. Without a sound database, and without repair, there is nothing to compare.
 */
export async function* checkImageStore(directory: string, options: CheckOptions = {}): AsyncGenerator<Finding> {
  const { repair = false, signal } = options;
  signal?.throwIfAborted();
  const layout = await layoutFault(directory);
  if (layout !== undefined) {
    yield await findingOf(layout, repair);
    if (!repair) return;
  }
  const damage = await databaseDamage(directory, { signal });
  if (damage !== undefined) {
    yield await findingOf(databaseFault(directory, damage), repair);
    if (!repair) return;
  }
  await using store = await openImageStore(directory, { signal });
  yield* checkStore(store, options);
}

/** Nothing else tells of what version a layout is, so one that says otherwise is damaged only beside a database of ours. */
async function layoutFault(directory: string): Promise<Fault | undefined> {
  const path = join(directory, "oci-layout");
  const found = await readFile(path).catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  });
  if (found === undefined || isLayoutFile(found) || !(await exists(join(directory, DATABASE)))) return undefined;
  return {
    kind: "index_wrong",
    subject: "oci-layout",
    problem: "it is not that of an OCI layout of version 1.0.0",
    async repair() {
      await rm(path);
      await makeLayoutFile(directory);
      return "written anew";
    },
  };
}

async function databaseDamage(directory: string, options: CallOptions): Promise<string | undefined> {
  try {
    const path = join(directory, DATABASE);
    await using database = await openDatabase<StoreSchema>(path, { ...options, migrations: MIGRATIONS });
    return await database.read(
      async (queries) => (await integrityProblem(queries)) ?? (await rowProblem(queries)),
      options,
    );
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== "database_invalid") throw error;
    return error.message;
  }
}

async function integrityProblem(
  queries: Parameters<Parameters<Database<StoreSchema>["read"]>[0]>[0],
): Promise<string | undefined> {
  const { rows } = await sql<{ integrity_check: string }>`pragma integrity_check(1)`.execute(queries);
  const problem = rows[0]?.integrity_check ?? "ok";
  return problem === "ok" ? undefined : problem;
}

function databaseFault(directory: string, problem: string): Fault {
  return { kind: "database_damaged", subject: DATABASE, problem, repair: () => setAside(directory) };
}

/** The next to open the store makes the database of the files. */
async function setAside(directory: string): Promise<string> {
  const ending = await freeEnding(directory);
  for (const name of DATABASE_FILES) {
    try {
      await rename(join(directory, name), join(directory, `${name}${ending}`));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
  return `made anew of index.json and the blobs; the old one is ${DATABASE}${ending}`;
}

async function freeEnding(directory: string): Promise<string> {
  for (let number = 1; ; number++) {
    const ending = `.damaged-${number}`;
    if (!(await exists(join(directory, `${DATABASE}${ending}`)))) return ending;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}
