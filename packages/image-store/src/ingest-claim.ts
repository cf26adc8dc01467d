import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile, readlink, rename, stat } from "node:fs/promises";
import { join } from "node:path";

import { digestAlgorithm, digestHex, isDigest } from "@lamella/refs";
import type { Digest } from "@lamella/refs";

import { isErrno } from "./durable.js";

/** How long a part that a process elsewhere is working on may lie still before it counts as abandoned. */
const FOREIGN_STALE_MS = 3_600_000;

/*
 * A part of a blob on its way in says who works on it:
 *
 *   ingest/<algorithm>-<hex>.<place>.<pid>.<random>
 *
 * `place` stands for this boot and process namespace: only there does a pid mean anything.
 */

/** The name of a new part of this process. */
export async function newPartName(digest: Digest): Promise<string> {
  return `${prefixOf(digest)}${await place()}.${process.pid}.${randomBytes(6).toString("hex")}`;
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
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => String(process.pid));
  const namespace = await readlink("/proc/self/ns/pid").catch(() => "");
  return createHash("sha256").update(`${boot}${namespace}`).digest("hex").slice(0, 12);
}
