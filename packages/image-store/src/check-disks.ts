import { lstat, rm } from "node:fs/promises";
import { join } from "node:path";

import { LayerFormatError } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import type { CheckedStore, Fault } from "./check-fault.js";
import { findDifference, findOrigin } from "./disk-comparison.js";
import { isErrno } from "./durable.js";
import { fileIdentity } from "./layout-index.js";
import { systemFailure } from "./system-error.js";

interface DiskRow {
  readonly key: string;
  readonly file: string;
  readonly size_bytes: number;
}

/** Looks whether recorded disks are there, as large as they were made, and what their layers make of them. */
export async function* checkDisks(store: CheckedStore, options: CallOptions): AsyncGenerator<Fault> {
  const { database, directory } = store;
  const rows = await database.read(
    (queries) => queries.selectFrom("disks").select(["key", "file", "size_bytes"]).execute(),
    options,
  );
  for (const row of rows) {
    options.signal?.throwIfAborted();
    if ((await problemOf(directory, row)) === undefined) {
      const fault = await contentFault(store, row, options);
      if (fault !== undefined) yield fault;
      continue;
    }
    const problem = await database.write(
      async () => ((await isRecorded(store, row, options)) ? problemOf(directory, row) : undefined),
      options,
    );
    if (problem === undefined) continue;
    yield { kind: "disk_damaged", subject: row.file, problem, repair: () => dropDisk(store, row, options) };
  }
}

/** The layers are held, so that they are as whole as they were when they were looked at. */
async function contentFault(store: CheckedStore, row: DiskRow, options: CallOptions): Promise<Fault | undefined> {
  const { content, database, directory } = store;
  const origin = await database.read((queries) => findOrigin(queries, row.key), options);
  if (origin === undefined) return undefined;
  const items = [
    { kind: "disk", ref: row.key } as const,
    ...origin.diffIDs.map((ref) => ({ kind: "layer", ref }) as const),
  ];
  const path = join(directory, row.file);
  const identity = await fileIdentity(path);
  const compare = (): Promise<number | undefined> => findDifference(content, path, origin, options);
  const difference = await store.lease(`check ${row.file}`, items, () => compare().catch(unlessGone), options);
  if (difference === undefined || !(await isRecorded(store, row, options))) return undefined;
  return {
    kind: "disk_damaged",
    subject: row.file,
    problem: `its bytes are not those of its layers, from byte ${difference} on`,
    repair: () => dropSpoilt(store, row, identity, options),
  };
}

/** An archive that is not there or damaged is a finding of its own; a disk that has gone since is none. */
function unlessGone(error: unknown): undefined {
  if (systemFailure(error)?.code === "too_many_files") throw error;
  if (error instanceof LayerFormatError || isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
  throw error;
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

async function dropSpoilt(
  { database, directory }: CheckedStore,
  row: DiskRow,
  identity: string | undefined,
  options: CallOptions,
): Promise<string> {
  return database.write(async (queries) => {
    if ((await fileIdentity(join(directory, row.file))) !== identity) return "left, as it was replaced meanwhile";
    await queries.deleteFrom("disks").where("key", "=", row.key).execute();
    await rm(join(directory, row.file), { force: true });
    return "dropped; it is made again when it is asked for";
  }, options);
}

async function dropDisk({ database, directory }: CheckedStore, row: DiskRow, options: CallOptions): Promise<string> {
  return database.write(async (queries) => {
    if ((await problemOf(directory, row)) === undefined) return "left, as it is whole by now";
    await queries.deleteFrom("disks").where("key", "=", row.key).execute();
    await rm(join(directory, row.file), { recursive: true, force: true });
    return "dropped; it is made again when it is asked for";
  }, options);
}
