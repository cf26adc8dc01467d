import { access, rename } from "node:fs/promises";
import { join } from "node:path";

import { DatabaseError, sql } from "@lamella/database";
import type { Database } from "@lamella/database";
import type { CallOptions } from "@lamella/refs";

import { checkStore, findingOf } from "./check.js";
import type { CheckOptions, Finding } from "./check.js";
import type { Fault } from "./check-fault.js";
import type { StoreSchema } from "./database/schema.js";
import { isErrno } from "./durable.js";
import { openImageStore } from "./image-store.js";

const DATABASE = "lamella.db";
/** With what SQLite keeps beside it. */
const DATABASE_FILES = [`${DATABASE}-wal`, `${DATABASE}-shm`, DATABASE];

/**
 * Checks the store of a directory as `ImageStore.check` does, and its database before. A damaged database is repaired by making it anew of
 * `index.json` and the blobs, for which nobody else may have the store open: names and images come back; disks, builds and which names are of registries
 * do not. The old one is kept beside it. Without a database that can be read, and without repair, there is nothing to compare.
 */
export async function* checkImageStore(directory: string, options: CheckOptions = {}): AsyncGenerator<Finding> {
  const { repair = false, signal } = options;
  signal?.throwIfAborted();
  const damage = await databaseDamage(directory, { signal });
  if (damage !== undefined) {
    yield await findingOf(databaseFault(directory, damage.problem), repair);
    if (!damage.canBeOpened && !repair) return;
  }
  await using store = await openImageStore(directory, { signal });
  yield* checkStore(store, options);
}

interface Damage {
  readonly problem: string;
  readonly canBeOpened: boolean;
}

async function databaseDamage(directory: string, options: CallOptions): Promise<Damage | undefined> {
  try {
    await using store = await openImageStore(directory, options);
    const problem = await store.database.read((queries) => integrityProblem(queries), options);
    return problem === undefined ? undefined : { problem, canBeOpened: true };
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== "database_invalid") throw error;
    return { problem: error.message, canBeOpened: false };
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
    try {
      await access(join(directory, `${DATABASE}${ending}`));
    } catch (error) {
      if (isErrno(error, "ENOENT")) return ending;
      throw error;
    }
  }
}
