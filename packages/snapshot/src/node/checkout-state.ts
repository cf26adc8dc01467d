import { createHash } from "node:crypto";
import { access, mkdir, open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import { quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import { nameState } from "./checkout-scan.js";
import { emptyCheckout } from "./checkout-target.js";
import { removeDirectory } from "./snapshot-directory.js";

/*
 * What a snapshot keeps of its checkouts:
 *
 *   checkouts/rw/            the writable one: there is at most one
 *   checkouts/<digest>/      a read-only one, by its target
 *     target                 JSON: where it is
 *     record                 what was there once it had been filled; see checkout-record.ts
 *     settled                nothing is left to be saved; the target only has to be emptied
 *   checkouts/<either>.claim while a process is at it
 *
 * With neither record nor settled, filling was broken off, and the snapshot has no part in what is in the target.
 */
const CHECKOUTS = "checkouts";
const WRITABLE = "rw";
const TARGET = "target";
const RECORD = "record";
const SETTLED = "settled";

/** A directory that a snapshot is, or was, checked out into. */
export interface CheckoutTarget {
  readonly path: string;
  /** Of the directory, as {@link NameState.identity}. */
  readonly identity: string;
  /** What the directory itself was like before. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** How many archives the snapshot had. */
  readonly archives: number;
}

export interface CheckoutState {
  readonly target: CheckoutTarget;
  readonly stage: "filling" | "filled" | "settled";
}

/** Where a snapshot's checkouts are told of. */
export function checkoutsDirectory(snapshot: string): string {
  return join(snapshot, CHECKOUTS);
}

/** @param path the target, without symlinks */
export function checkoutDirectory(
  snapshot: string,
  { path, isWritable }: { path: string; isWritable: boolean },
): string {
  const name = isWritable ? WRITABLE : createHash("sha256").update(path).digest("hex");
  return join(checkoutsDirectory(snapshot), name);
}

export function recordPath(checkout: string): string {
  return join(checkout, RECORD);
}

/** What is there of a checkout; undefined where there is none. */
export async function readCheckout(checkout: string): Promise<CheckoutState | undefined> {
  const text = await readFile(join(checkout, TARGET), "utf8").catch(orMissing);
  if (text === undefined) return undefined;
  const target = parseTarget(text);
  if (target === undefined) return undefined;
  if (await exists(join(checkout, SETTLED))) return { target, stage: "settled" };
  return { target, stage: (await exists(recordPath(checkout))) ? "filled" : "filling" };
}

/** A text that was cut off is of a checkout of which nothing had been filled. */
function parseTarget(text: string): CheckoutTarget | undefined {
  try {
    return JSON.parse(text) as CheckoutTarget;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export async function beginCheckout(checkout: string, target: CheckoutTarget): Promise<void> {
  await removeDirectory(checkout);
  await mkdir(checkout);
  await writeSynced(join(checkout, TARGET), JSON.stringify(target));
  await syncDirectory(checkout);
}

export async function settleCheckout(checkout: string): Promise<void> {
  await writeSynced(join(checkout, SETTLED), "");
  await syncDirectory(checkout);
}

/** Empties the target, if it is the directory that it was, and forgets the checkout. */
export async function endCheckout(checkout: string, { target }: CheckoutState): Promise<void> {
  if (await isThere(target)) await emptyCheckout(target);
  await removeDirectory(checkout);
}

/** Whether the target is the directory that was checked out into, and no other that has taken its place. */
export async function isThere({ path, identity }: CheckoutTarget): Promise<boolean> {
  const found = await stat(path, { bigint: true }).catch(orMissing);
  return found !== undefined && nameState(found).identity === identity;
}

/** @throws {SnapshotError} `failed_precondition` while there is a writable checkout whose changes are not in the snapshot yet */
export async function refuseCheckedOut(snapshot: string, act: string): Promise<void> {
  const state = await readCheckout(checkoutDirectory(snapshot, { path: "", isWritable: true }));
  if (state?.stage !== "filled" || !(await isThere(state.target))) return;
  const where = `it is checked out in ${quote(state.target.path)}; unmount it first`;
  throw new SnapshotError("failed_precondition", `cannot ${act} snapshot: ${where}`);
}

/** Empties all targets of a snapshot that goes away. */
export async function leaveCheckouts(snapshot: string): Promise<void> {
  for (const name of (await readdir(checkoutsDirectory(snapshot)).catch(orMissing)) ?? []) {
    const checkout = join(checkoutsDirectory(snapshot), name);
    const state = name.includes(".") ? undefined : await readCheckout(checkout);
    if (state !== undefined) await endCheckout(checkout, state);
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const handle = await open(path, "w");
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return (await access(path).then(() => true, orMissing)) === true;
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
