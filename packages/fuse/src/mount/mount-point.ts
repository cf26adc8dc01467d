import { realpath, stat, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

import { quote } from "@lamella/refs";

import { FuseError } from "../errors.js";
import { readMountTable } from "./mount-table.js";
import { runMountTool } from "./mount-tool.js";

/** What the kernel says to who uses a mount whose server has gone. */
const DEAD = new Set(["ENOTCONN", "ECONNABORTED"]);

/** The type of a mount, as mount(8) and the mount table have it. */
export const MOUNT_TYPE = "fuse.lamella";

/**
 * The real path of a directory to mount on. What a killed server left mounted there is unmounted before.
 *
 * @throws {FuseError} `busy` where one of ours is mounted there and works, `mount_failed` for what is no directory
 */
export async function prepareMountPoint(directory: string): Promise<string> {
  const place = await realpath(directory).catch(async (error: NodeJS.ErrnoException) => {
    if (!DEAD.has(error.code ?? "")) throw failure(directory, error);
    const path = resolve(directory);
    return join(await realpath(dirname(path)), basename(path));
  });
  while ((await topmostType(place)) === MOUNT_TYPE) {
    if (!(await isDead(place)))
      throw new FuseError("busy", `cannot mount on ${quote(directory)}: a tree is mounted there already`);
    const { succeeded, words } = await runMountTool("umount", ["-i", "-c", "-l", "--", place]);
    if (!succeeded) throw new FuseError("mount_failed", `cannot unmount what is left on ${quote(directory)}: ${words}`);
  }
  const status = await stat(place).catch((error: NodeJS.ErrnoException) => {
    throw failure(directory, error);
  });
  if (!status.isDirectory())
    throw new FuseError("mount_failed", `cannot mount on ${quote(directory)}: it is not a directory`);
  return place;
}

async function topmostType(place: string): Promise<string | undefined> {
  const name = Buffer.from(place).toString("latin1");
  const table = await readMountTable();
  return table.findLast((mounted) => mounted.place === name)?.type;
}

/** What a file system says of itself is the one question to which the kernel never knows the answer. */
async function isDead(place: string): Promise<boolean> {
  try {
    await statfs(place);
    return false;
  } catch (error) {
    return DEAD.has((error as NodeJS.ErrnoException).code ?? "");
  }
}

function failure(directory: string, error: Error): FuseError {
  return new FuseError("mount_failed", `cannot mount on ${quote(directory)}: ${error.message}`, { cause: error });
}
