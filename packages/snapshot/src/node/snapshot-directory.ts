import { chmod, lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import type { CallOptions } from "@lamella/refs";

const ID = /^[1-9]\d{0,15}$/;

/** The IDs of the directories that are there. */
export async function listSnapshotDirectories(parent: string): Promise<number[]> {
  const names = await readdir(parent);
  return names.filter((name) => ID.test(name)).map(Number);
}

/** Removes a directory with everything in it, also where its owner has taken the right to write from himself. */
export async function removeDirectory(path: string, { signal }: CallOptions = {}): Promise<void> {
  signal?.throwIfAborted();
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EACCES" && code !== "EPERM") throw error;
    await openDirectories(path, signal);
    await rm(path, { recursive: true, force: true });
  }
}

async function openDirectories(path: string, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const { mode } = await lstat(path);
  if ((mode & 0o700) !== 0o700) await chmod(path, 0o700);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await openDirectories(join(path, entry.name), signal);
  }
}
