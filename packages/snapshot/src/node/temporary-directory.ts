import { lstat, mkdtemp, readdir } from "node:fs/promises";
import { join } from "node:path";

import { isOwnerAlive, processOwner } from "@lamella/database";

import { removeDirectory } from "./snapshot-directory.js";

/** Followed by the process that made it, a minus, and six random letters. */
const PREFIX = "lamella-snapshot-";
const RANDOM_LENGTH = 7;

/** Makes a directory that the caller removes; if it is killed, the next one who makes such a directory does. */
export async function makeTemporaryDirectory(parent: string): Promise<string> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PREFIX) || (await isOwnerAlive(name.slice(PREFIX.length, -RANDOM_LENGTH)))) continue;
    const path = join(parent, name);
    const status = await lstat(path).catch(orMissing);
    // What is another user's is left alone, also by root: it could be exchanged on the way.
    if (status?.isDirectory() === true && status.uid === process.getuid?.()) await removeDirectory(path);
  }
  return mkdtemp(join(parent, `${PREFIX}${await processOwner()}-`));
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
