import type { BigIntStats } from "node:fs";
import { mkdir, readdir, realpath, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { openDirectoryTree, unpackTree } from "@lamella/layer-format/node";
import { type CallOptions, quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { Mount, Mounter } from "../mount.js";
import { saveCheckout } from "./checkout-changes.js";
import { withClaim } from "./checkout-claim.js";
import { type CheckoutSource, readCheckoutMount } from "./checkout-mount.js";
import { addPlaceholders } from "./checkout-placeholders.js";
import { writeRecord } from "./checkout-record.js";
import { nameState, openCheckout } from "./checkout-scan.js";
import {
  beginCheckout,
  checkoutDirectory,
  checkoutsDirectory,
  endCheckout,
  isThere,
  readCheckout,
  recordPath,
  settleCheckout,
} from "./checkout-state.js";
import { refuseMountsBelow } from "./checkout-target.js";
import type { Owner } from "./checkout-tree.js";
import { listArchives, openArchiveTree } from "./tree-driver-archives.js";

export interface CheckoutMounterOptions {
  /** Whose the files are that an ordinary user has made in a checkout: 0:0 by default. As root they are whose they are on the disk. */
  owner?: Owner;
}

/** Longer than the clock of a kernel without finer times of change stands still: what is written after that is seen. */
const CLOCK_TICK_MS = 20;

/**
 * Mounts of the tree driver without the kernel's help. Mounting unpacks what the snapshot shows into the target, an empty directory; unmounting
 * makes what has been changed there a layer of the snapshot, whole or not at all, and empties the target. Nobody has to be root.
 *
 * What an ordinary user cannot give to a file stays with it: owner, attributes and devices (which are empty files meanwhile) are kept as they
 * were, also of a file that is renamed, unless they are changed. A new file in the place of another one, as editors save, is a new file.
 *
 * A snapshot has one writable checkout at a time. If the process is killed, mounting or unmounting again goes on from there; a target that is gone, or has
 * been replaced, is no longer a checkout. Needs GNU tar and getfattr.
 *
 * @throws {SnapshotError} `failed_precondition` for a target that is not empty, a snapshot that is checked out already, and a target in
 * which something is mounted; `unsupported` for mounts of other types, and for a changed name that no layer can hold: rename it, and unmount again.
 * Errors of unpacking and of the file system pass as they are.
 */
export function createCheckoutMounter({ owner }: CheckoutMounterOptions = {}): Mounter {
  return {
    async mount(mounts, target, options = {}) {
      await withCheckout({ mounts, target, options }, (checkout) => checkOut(checkout, options));
    },

    async unmount(mounts, target, options = {}) {
      await withCheckout({ mounts, target, options }, (checkout) =>
        checkIn(checkout, { owner: owner ?? { uid: 0, gid: 0 }, signal: options.signal }),
      );
    },
  };
}

interface Checkout {
  readonly source: CheckoutSource;
  /** Where the snapshot tells of it. */
  readonly directory: string;
  /** The target, without symlinks. */
  readonly path: string;
  readonly status: BigIntStats;
}

interface CheckoutCall {
  readonly mounts: readonly Mount[];
  readonly target: string;
  readonly options: CallOptions;
}

async function withCheckout(call: CheckoutCall, work: (checkout: Checkout) => Promise<void>): Promise<void> {
  call.options.signal?.throwIfAborted();
  const source = readCheckoutMount(call.mounts);
  const path = await realpath(call.target);
  const status = await stat(path, { bigint: true });
  const directory = checkoutDirectory(source.directory, { path, isWritable: source.isWritable });
  await mkdir(checkoutsDirectory(source.directory), { recursive: true });
  await withClaim(`${directory}.claim`, call.target, () => work({ source, directory, path, status }));
}

async function checkOut({ source, directory, path, status }: Checkout, options: CallOptions): Promise<void> {
  await endBroken(directory, path);
  await requireEmpty(path);
  const { identity, mode, uid, gid } = nameState(status);
  await beginCheckout(directory, {
    path,
    identity,
    mode,
    uid,
    gid,
    archives: (await listArchives(source.directory)).length,
  });
  try {
    await using tree = await openArchiveTree([...source.parents, source.directory], options);
    await unpackTree(tree, path, options);
    const opened = await openCheckout(path, options);
    try {
      await addPlaceholders(tree, { target: path, scan: opened.scan }, options);
      if (source.isWritable) {
        await using disk = await openDirectoryTree(path, { xattrs: true, ...options });
        await opened.close();
        await writeRecord(recordPath(directory), { scan: opened.scan, tree: disk }, options);
      }
    } finally {
      await opened.close();
    }
    if (source.isWritable) await sleep(CLOCK_TICK_MS);
    else await settleCheckout(directory);
  } catch (error) {
    const state = await readCheckout(directory);
    if (state !== undefined) await endCheckout(directory, state);
    throw error;
  }
}

/** Makes way for a new checkout: an earlier one that was not finished, or whose target is gone, is none. */
async function endBroken(directory: string, path: string): Promise<void> {
  const state = await readCheckout(directory);
  if (state === undefined) return;
  const isWhole = state.stage !== "filling" && (await isThere(state.target));
  const isLeaving = state.stage === "settled" && directory.endsWith("/rw");
  if (isWhole && !isLeaving) {
    const where = `the snapshot is checked out in ${quote(state.target.path)} already`;
    throw new SnapshotError("failed_precondition", `cannot mount on ${quote(path)}: ${where}`);
  }
  await endCheckout(directory, state);
}

async function requireEmpty(path: string): Promise<void> {
  const names = await readdir(path, { encoding: "latin1" });
  if (names.length === 0) return;
  throw new SnapshotError("failed_precondition", `cannot mount on ${quote(path)}: the directory is not empty`);
}

async function checkIn({ source, directory, path }: Checkout, options: CallOptions & { owner: Owner }): Promise<void> {
  const state = await readCheckout(directory);
  if (state === undefined || state.target.path !== path || !(await isThere(state.target))) return;
  await refuseMountsBelow(path);
  if (state.stage === "filled") {
    await saveCheckout({ source, target: state.target, record: recordPath(directory) }, options);
    await settleCheckout(directory);
  }
  await endCheckout(directory, state);
}
