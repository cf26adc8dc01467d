import { lstat, rm } from "node:fs/promises";
import { join } from "node:path";

import type { CallOptions } from "@lamella/refs";

import type { CheckedStore, Fault } from "./check-fault.js";
import { isErrno } from "./durable.js";

interface DiskRow {
  readonly key: string;
  readonly file: string;
  readonly size_bytes: number;
}

/** Looks whether recorded disks are there, and as large as they were made. */
export async function* checkDisks(store: CheckedStore, options: CallOptions): AsyncGenerator<Fault> {
  const { database, directory } = store;
  const rows = await database.read(
    (queries) => queries.selectFrom("disks").select(["key", "file", "size_bytes"]).execute(),
    options,
  );
  for (const row of rows) {
    options.signal?.throwIfAborted();
    if ((await problemOf(directory, row)) === undefined) continue;
    const problem = await database.write(
      async () => ((await isRecorded(store, row, options)) ? problemOf(directory, row) : undefined),
      options,
    );
    if (problem === undefined) continue;
    yield { kind: "disk_damaged", subject: row.file, problem, repair: () => dropDisk(store, row, options) };
  }
}

async function problemOf(directory: string, { file, size_bytes }: DiskRow): Promise<string | undefined> {
  try {
    const found = await lstat(join(directory, file));
    if (!found.isFile()) return "it is no file";
    return found.size === size_bytes ? undefined : `it has ${found.size} of ${size_bytes} bytes`;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "it is not there";
    throw error;
  }
}

/** As it was listed, and not removed or made anew since. */
async function isRecorded(
  { database }: CheckedStore,
  { key, file, size_bytes }: DiskRow,
  options: CallOptions,
): Promise<boolean> {
  const row = await database.read(
    (queries) => queries.selectFrom("disks").select(["file", "size_bytes"]).where("key", "=", key).executeTakeFirst(),
    options,
  );
  return row?.file === file && row.size_bytes === size_bytes;
}

async function dropDisk({ database, directory }: CheckedStore, row: DiskRow, options: CallOptions): Promise<string> {
  return database.write(async (queries) => {
    if ((await problemOf(directory, row)) === undefined) return "left, as it is whole by now";
    await queries.deleteFrom("disks").where("key", "=", row.key).execute();
    await rm(join(directory, row.file), { recursive: true, force: true });
    return "dropped; it is made again when it is asked for";
  }, options);
}
