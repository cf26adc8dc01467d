import { randomBytes } from "node:crypto";
import { constants, open, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import type { DiskPlan } from "./disk-plan.js";
import { passDisk } from "./disk-stream.js";
import type { WriteDiskOptions, WrittenDisk } from "./disk-stream.js";
import { asWriteFailure, writeAt } from "./system-write.js";

/** A file's name may have 255 bytes; a name cut to this many characters leaves room for the rest of a temporary one. */
const NAME_CHARACTERS_KEPT = 60;
/** After so much the disk below is set to work while more comes, so that less is left for the end. */
const SYNC_BYTES = 32 << 20;

/**
 * Writes a sparse file that appears under its name only when it is whole and on the disk: beside it first, then renamed.
 * @throws {DiskExportError} `write_failed`
 */
export async function writeDiskFile(plan: DiskPlan, path: string, options: WriteDiskOptions): Promise<WrittenDisk> {
  const directory = dirname(path);
  const name = `.${basename(path).slice(0, NAME_CHARACTERS_KEPT)}.${randomBytes(6).toString("hex")}.tmp`;
  const temporary = join(directory, name);
  const failed = asWriteFailure(path);
  const handle = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL).catch(failed);
  try {
    const written = await fillFile(handle, plan, path, options).finally(() => handle.close().catch(failed));
    options.signal?.throwIfAborted();
    await rename(temporary, path).catch(failed);
    await syncDirectory(directory).catch(failed);
    return written;
  } catch (error) {
    // Where even this fails, the first error says more.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

async function fillFile(
  handle: FileHandle,
  plan: DiskPlan,
  path: string,
  options: WriteDiskOptions,
): Promise<WrittenDisk> {
  const failed = asWriteFailure(path);
  await handle.truncate(plan.sizeBytes).catch(failed);
  let unsynced = 0;
  let syncing: Promise<void> | undefined;
  let syncFailure: unknown;

  /** A failure is told of once by the system, and belongs to the file as a whole. */
  function syncAhead(): void {
    unsynced = 0;
    syncing = handle
      .datasync()
      .catch((error: unknown) => {
        syncFailure ??= error;
      })
      .finally(() => {
        syncing = undefined;
      });
  }

  try {
    const written = await passDisk(plan, options, async ({ offset, bytes }) => {
      if (syncFailure !== undefined) failed(syncFailure);
      if (bytes === undefined) return;
      await writeAt(handle, bytes, offset).catch(failed);
      unsynced += bytes.length;
      if (unsynced >= SYNC_BYTES && syncing === undefined) syncAhead();
    });
    await syncing;
    if (syncFailure !== undefined) failed(syncFailure);
    await handle.sync().catch(failed);
    return written;
  } finally {
    await syncing;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY);
  await handle.sync().finally(() => handle.close());
}
