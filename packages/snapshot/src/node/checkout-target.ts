import type { Stats } from "node:fs";
import { chmod, chown, lstat, readdir, rmdir, unlink } from "node:fs/promises";

import { displayPath } from "@lamella/layer-format";
import { quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { CheckoutTarget } from "./checkout-state.js";
import { listMountsBelow } from "./mount-table.js";

/** What an owner needs of a directory to look into it and to empty it. */
const OPEN_DIRECTORY = 0o700;

/**
 * Removes everything from a target and gives it the mode and owner that it had.
 * @throws {SnapshotError} `failed_precondition` where something is mounted inside: it would be emptied too
 */
export async function emptyCheckout(target: CheckoutTarget): Promise<void> {
  await refuseMountsBelow(target.path);
  const root = Buffer.from(target.path);
  const { dev } = await lstat(root);
  await emptyDirectory(root, dev);
  const { mode, uid, gid } = await lstat(root);
  if (uid !== target.uid || gid !== target.gid) await chown(root, target.uid, target.gid);
  if ((mode & 0o7777) !== target.mode) await chmod(root, target.mode);
}

/** @throws {SnapshotError} `failed_precondition` */
export async function refuseMountsBelow(path: string): Promise<void> {
  const [mounted] = await listMountsBelow(path);
  if (mounted !== undefined) throw mountedInside(mounted);
}

async function emptyDirectory(path: Buffer, device: number): Promise<void> {
  const status = await lstat(path);
  if (status.dev !== device) throw mountedInside(path.toString("latin1"));
  if (isClosed(status)) await chmod(path, OPEN_DIRECTORY);
  for (const entry of await readdir(path, { encoding: "buffer", withFileTypes: true })) {
    const child = Buffer.concat([path, Buffer.from("/"), entry.name]);
    if (entry.isDirectory()) {
      await emptyDirectory(child, device);
      await rmdir(child);
    } else await unlink(child);
  }
}

function isClosed({ mode }: Stats): boolean {
  return process.geteuid?.() !== 0 && (mode & OPEN_DIRECTORY) !== OPEN_DIRECTORY;
}

function mountedInside(path: string): SnapshotError {
  const shown = quote(displayPath(path));
  return new SnapshotError("failed_precondition", `cannot empty a checkout: a file system is mounted on ${shown}`);
}
