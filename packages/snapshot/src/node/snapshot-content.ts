import { chmod, mkdtemp, open, readdir, readlink, rename, symlink } from "node:fs/promises";
import { basename, join } from "node:path";

import { INCOMING } from "./applied-layer.js";
import { removeDirectory } from "./snapshot-directory.js";

/*
 * What a driver keeps as a directory:
 *
 *   <id>/fs -> content-x      what mounts and readers follow
 *   <id>/content-x/           the files
 *   <id>/content-y/           being made, or left over; replaces the other at once, by a new link
 */
const LINK = "fs";
const CONTENT = "content-";
const NEW_LINK = "new-";

/** Where a snapshot's files are, by a name that stays. */
export function contentPath(snapshot: string): string {
  return join(snapshot, LINK);
}

/**
 * Fills a fresh directory, of mode 0755, and makes it the snapshot's content, in place of what it had. Until then that is as it was, also
 * if the process dies.
 */
export async function replaceContent(snapshot: string, fill: (directory: string) => Promise<void>): Promise<void> {
  const before = await currentContent(snapshot);
  const directory = await mkdtemp(join(snapshot, CONTENT));
  try {
    await chmod(directory, 0o755);
    await fill(directory);
    const link = join(snapshot, `${NEW_LINK}${LINK}`);
    await symlink(basename(directory), link);
    await rename(link, contentPath(snapshot));
  } catch (error) {
    await removeDirectory(directory);
    throw error;
  }
  await syncDirectory(snapshot);
  if (before !== undefined) await removeDirectory(join(snapshot, before));
}

/** Removes what calls that were broken off have left. Nobody else may be changing the snapshot. */
export async function removeLeftovers(snapshot: string): Promise<void> {
  const current = await currentContent(snapshot);
  for (const name of await readdir(snapshot)) {
    const isOurs = [CONTENT, INCOMING, NEW_LINK].some((prefix) => name.startsWith(prefix));
    if (isOurs && name !== current) await removeDirectory(join(snapshot, name));
  }
}

async function currentContent(snapshot: string): Promise<string | undefined> {
  return readlink(contentPath(snapshot)).catch(orMissing);
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
