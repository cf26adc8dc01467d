import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";

import { isOwnerAlive, processOwner } from "@lamella/database";
import { quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";

/**
 * Does work while no other process, and no other call of this one, does any under the same file. What a dead process has left is taken over.
 * @throws {SnapshotError} `failed_precondition` while somebody else is at it
 */
export async function withClaim<Result>(file: string, what: string, work: () => Promise<Result>): Promise<Result> {
  const text = `${await processOwner()}:${randomUUID()}`;
  const own = `${file}.${randomUUID()}`;
  await writeFile(own, text);
  try {
    // A link comes with its text: nobody sees a claim without its owner.
    while (!(await tryLink(own, file))) await clearDead(file, what);
  } finally {
    await rm(own, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function clearDead(file: string, what: string): Promise<void> {
  const owner = await readFile(file, "utf8").catch(orMissing);
  if (owner === undefined) return;
  if (await isOwnerAlive(owner)) throw claimed(what);
  const aside = `${file}.${randomUUID()}`;
  await rename(file, aside).catch(orMissing);
  try {
    const taken = await readFile(aside, "utf8").catch(orMissing);
    if (taken === undefined || taken === owner) return;
    // Somebody was faster in taking it over.
    await tryLink(aside, file);
    throw claimed(what);
  } finally {
    await rm(aside, { force: true });
  }
}

function claimed(what: string): SnapshotError {
  return new SnapshotError("failed_precondition", `cannot use ${quote(what)}: it is being mounted or unmounted`);
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
