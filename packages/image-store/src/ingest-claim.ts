import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile, readlink, rename, stat } from "node:fs/promises";
import { join } from "node:path";

import { digestAlgorithm, digestHex, isDigest } from "@lamella/refs";
import type { Digest } from "@lamella/refs";

import { isErrno } from "./durable.js";
import { systemFailure } from "./system-error.js";

/** How long a part that a process elsewhere is working on may lie still before it counts as abandoned. */
const FOREIGN_STALE_MS = 3_600_000;

/*
 * What is on its way in says who works on it:
 *
 *   ingest/<algorithm>-<hex>.<place>.<pid>.<random>      a part of a blob, which another process may take up
 *   ingest/new.<place>.<pid>.<random>                    what only its own process knows
 *
 * `place` stands for this boot and process namespace: only there does a pid mean anything.
 */

/** The name of a new part of this process; without a digest, of a file that is taken up by nobody. */
export async function newPartName(digest?: Digest): Promise<string> {
  const prefix = digest === undefined ? "new." : prefixOf(digest);
  return `${prefix}${await place()}.${process.pid}.${randomBytes(6).toString("hex")}`;
}

/**
 * Takes over what a process that is gone has left of a blob: renames it to `own`, which only one taker can do.
 * @returns whether there was something to take
 */
export async function claimAbandonedPart(directory: string, digest: Digest, own: string): Promise<boolean> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(prefixOf(digest)) || !(await isAbandoned(directory, name))) continue;
    try {
      await rename(join(directory, name), join(directory, own));
      return true;
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
  return false;
}

function prefixOf(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}.`;
}

/** Whether nobody works on a part any more. */
export async function isAbandoned(directory: string, name: string): Promise<boolean> {
  const [, where, pid, released] = name.split(".");
  if (released === RELEASED) return true;
  if (where === (await place())) return !isAlive(Number(pid));
  const { mtimeMs } = await stat(join(directory, name)).catch(() => ({ mtimeMs: Date.now() }));
  return Date.now() - mtimeMs > FOREIGN_STALE_MS;
}

/** The blob that a part is of, where its name says so. */
export function digestOfPart(name: string): Digest | undefined {
  const digest = name.split(".", 1)[0]?.replace("-", ":") ?? "";
  return isDigest(digest) ? digest : undefined;
}

/** A part that its own process has let go of, in good order. */
const RELEASED = "released";

export function releasedPartName(own: string): string {
  return [...own.split(".").slice(0, 3), RELEASED].join(".");
}

/** That a file could not be opened for want of others being closed says nothing about it. */
function unlessFailed<Value>(value: Value): (error: unknown) => Value {
  return (error) => {
    if (systemFailure(error) !== undefined) throw error;
    return value;
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isErrno(error, "ESRCH");
  }
}

/** Where there is no /proc, any other process counts as one elsewhere. */
async function place(): Promise<string> {
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(unlessFailed(String(process.pid)));
  const namespace = await readlink("/proc/self/ns/pid").catch(unlessFailed(""));
  return createHash("sha256").update(`${boot}${namespace}`).digest("hex").slice(0, 12);
}
