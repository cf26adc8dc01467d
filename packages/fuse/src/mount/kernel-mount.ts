import { openSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { quote } from "@lamella/refs";

import { FuseError } from "../errors.js";
import { PROTOCOL } from "../protocol/layout.js";
import { type MountedFileSystem, readMountTable } from "./mount-table.js";
import { MOUNT_TYPE } from "./mount-point.js";
import { runMountTool } from "./mount-tool.js";

const DEVICE = "/dev/fuse";
/** What has just been closed may hold a file system for a moment. */
const BUSY_TRIES = 20;
const BUSY_PAUSE_MS = 50;
const ADVICE = "be root, or root in namespaces of your own (unshare --map-root-user --mount)";

/** @throws {FuseError} `unsupported` where there is no FUSE, or not for this user */
export function openDevice(): number {
  try {
    // Closed in whatever process is started: with the last descriptor the mount ends, and nobody may wait for one who will never answer.
    return openSync(DEVICE, "r+");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const state =
      code === "EACCES" || code === "EPERM"
        ? "this user may not open it"
        : "this kernel has no FUSE; load its module (modprobe fuse)";
    throw new FuseError("unsupported", `cannot use ${DEVICE}: ${state}`, { cause: error });
  }
}

export interface KernelMountOptions {
  readonly fd: number;
  readonly allowOther: boolean;
  readonly name: string;
}

/**
 * Mounts what is served on an open /dev/fuse; gives its device.
 *
 * @param place a real path
 * @throws {FuseError} `mount_failed` with what mount(8) said; `unsupported` without the right to mount
 */
export async function mountKernel(place: string, { fd, allowOther, name }: KernelMountOptions): Promise<string> {
  const options = [
    "ro",
    "nosuid",
    "nodev",
    "fd=3",
    "rootmode=40000",
    `user_id=${process.geteuid?.()}`,
    `group_id=${process.getegid?.()}`,
    "default_permissions",
    `max_read=${PROTOCOL.maxRead}`,
    ...(allowOther ? ["allow_other"] : []),
  ];
  const parameters = ["-i", "-c", "-t", MOUNT_TYPE, "-o", options.join(","), "--", name, place];
  const { succeeded, words } = await runMountTool("mount", parameters, fd);
  if (!succeeded) {
    const act = `cannot mount on ${quote(place)}`;
    if (process.geteuid?.() !== 0)
      throw new FuseError("unsupported", `${act}: nobody but root may mount; ${ADVICE}: ${words}`);
    throw new FuseError("mount_failed", `${act}: ${words}`);
  }
  const at = Buffer.from(place).toString("latin1");
  const mounted = (await readMountTable()).findLast((one) => one.place === at && one.type === MOUNT_TYPE);
  if (mounted === undefined) throw new FuseError("mount_failed", `cannot mount on ${quote(place)}: it is gone already`);
  return mounted.device;
}

/**
 * How much the kernel reads ahead of who reads on and on. Nobody but root may say, and not where /sys is read-only: then it is what the kernel
 * thinks right.
 */
export async function setReadAhead(device: string, bytes: number): Promise<void> {
  await writeFile(`/sys/class/bdi/${device}/read_ahead_kb`, String(Math.floor(bytes / 1024))).catch(() => undefined);
}

/** Unmounts: false if others still use it after a second. Succeeds if it is not mounted, as far as this process sees. */
export async function unmountKernel(device: string): Promise<boolean> {
  for (let tries = 1; ; tries++) {
    const place = await placeOf(device);
    if (place === undefined) return true;
    const { succeeded, words } = await runMountTool("umount", ["-i", "-c", "--", place]);
    if (succeeded) continue;
    if (!words.includes("busy")) throw new FuseError("unmount_failed", `cannot unmount ${quote(place)}: ${words}`);
    if (tries >= BUSY_TRIES) return false;
    await sleep(BUSY_PAUSE_MS);
  }
}

/** Takes the mount from who uses it: what they have open fails from now on, unless the kernel knows it already. */
export async function detachKernel(device: string): Promise<void> {
  const place = await placeOf(device);
  if (place === undefined) return;
  const { succeeded, words } = await runMountTool("umount", detachParameters(place));
  if (!succeeded) throw new FuseError("unmount_failed", `cannot detach ${quote(place)}: ${words}`);
}

/**
 * Does the same for what is unmounted here, but is in another mount namespace still; the machine must have its list of FUSE connections mounted.
 * Only while it is served: later another may have its number.
 */
export async function abortConnection(device: string): Promise<void> {
  const [, minor] = device.split(":");
  await writeFile(`/sys/fs/fuse/connections/${minor}/abort`, "1").catch(() => undefined);
}

/** Of umount(8): off the directory at once, and at an end. */
export function detachParameters(place: string): string[] {
  return ["-i", "-c", "--force", "--lazy", "--", place];
}

/**
 * Where a file system is mounted now.
 * @throws {FuseError} `unmount_failed` where another is mounted over it, which umount(8) would take for it
 */
async function placeOf(device: string): Promise<string | undefined> {
  const table = await readMountTable();
  const mounted: MountedFileSystem | undefined = table.findLast((one) => one.device === device);
  if (mounted === undefined) return undefined;
  const place = Buffer.from(mounted.place, "latin1").toString();
  if (table.findLast((one) => one.place === mounted.place)?.device !== device)
    throw new FuseError("unmount_failed", `cannot unmount ${quote(place)}: something else is mounted over it`);
  return place;
}
