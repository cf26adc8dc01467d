import { mkdir, readFile, realpath } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { type CallOptions, quote } from "@lamella/refs";

import { SnapshotError } from "../errors.js";
import type { Mount, Mounter } from "../mount.js";
import { createCheckoutMounter } from "./checkout-mounter.js";
import { countMounts } from "./mount-table.js";
import { relativeOptions } from "./overlay-options.js";
import { runTool } from "./tool-process.js";

/** What has just been closed may hold a file system for a moment. */
const BUSY_TRIES = 20;
const BUSY_PAUSE_MS = 50;

/**
 * Mounts through the kernel, by way of mount(8) and umount(8): `bind`, `overlay`, `erofs`, or any type that the kernel has. Where a list has a
 * `checkout`, that is filled and read back instead (see `createCheckoutMounter`), for which nobody has to be root.
 *
 * A list is mounted whole or not at all; directories in between are made. Both calls follow the signal between two mounts only, as a mount that is
 * broken off would be nobody's. Unmounting waits a second for who still uses the file system.
 *
 * @throws {SnapshotError} `mount_failed` with what mount(8) said; `unsupported` without the right to mount, and where the kernel lacks the
 * type or the machine the program
 */
export function createMounter(): Mounter {
  const checkouts = createCheckoutMounter();
  const mountOne = (mount: Mount, place: string): Promise<void> =>
    mount.type === "checkout" ? checkouts.mount([mount], place) : mountKernel(mount, place);
  const unmountOne = (mount: Mount, place: string): Promise<void> =>
    mount.type === "checkout" ? checkouts.unmount([mount], place) : unmountKernel(place);

  return {
    async mount(mounts, target, { signal }: CallOptions = {}) {
      signal?.throwIfAborted();
      const done: (readonly [Mount, string])[] = [];
      try {
        for (const mount of mounts) {
          signal?.throwIfAborted();
          const place = mount.target ?? target;
          if (mount.target !== undefined) await mkdir(mount.target, { recursive: true });
          await mountOne(mount, place);
          done.push([mount, place]);
        }
      } catch (error) {
        for (const [mount, place] of done.toReversed()) await unmountOne(mount, place);
        throw error;
      }
    },

    async unmount(mounts, target, { signal }: CallOptions = {}) {
      for (const mount of mounts.toReversed()) {
        signal?.throwIfAborted();
        await unmountOne(mount, mount.target ?? target);
      }
    },
  };
}

async function mountKernel(mount: Mount, target: string): Promise<void> {
  const place = await realpath(target);
  const { cwd, options } =
    mount.type === "overlay" ? relativeOptions(mount.options) : { cwd: "/", options: mount.options };
  const isBind = mount.type === "bind";
  const given = isBind && !options.some((option) => option === "bind" || option === "rbind") ? ["bind"] : [];
  const all = [...given, ...options];
  const odd = all.find((option) => option.includes(","));
  if (odd !== undefined) {
    throw new SnapshotError(
      "unsupported",
      `cannot mount with option ${quote(odd)}: mount(8) would cut it at the comma`,
    );
  }
  const type = isBind ? [] : ["-t", mount.type];
  const parameters = [...type, "-o", all.join(","), "--", mount.source, place];
  const { exitCode, words } = await runTool("mount", { parameters, cwd });
  if (exitCode !== 0) throw await mountError(mount, target, words);
}

async function unmountKernel(target: string): Promise<void> {
  const place = await realpath(target).catch(orMissing);
  if (place === undefined) return;
  for (let tries = 1; ; tries++) {
    if ((await countMounts(place)) === 0) return;
    const { exitCode, words } = await runTool("umount", { parameters: ["--", place] });
    if (exitCode === 0) return;
    if (tries === BUSY_TRIES || !words.includes("busy")) {
      throw new SnapshotError("mount_failed", `cannot unmount ${quote(target)}: ${words}`);
    }
    await sleep(BUSY_PAUSE_MS);
  }
}

function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

async function mountError(mount: Mount, target: string, said: string): Promise<SnapshotError> {
  // What follows on further lines is advice to look at the kernel's log.
  const [words] = said.split("\n", 1);
  const act = `cannot mount ${mount.type} on ${quote(target)}`;
  if (process.geteuid?.() !== 0) {
    const advice = "be root, or root in namespaces of your own (unshare --map-root-user --mount)";
    return new SnapshotError("unsupported", `${act}: nobody but root may mount; ${advice}: ${words}`);
  }
  if (mount.type !== "bind" && !(await isKnownType(mount.type))) {
    return new SnapshotError("unsupported", `${act}: this kernel has no ${mount.type}; load its module: ${words}`);
  }
  return new SnapshotError("mount_failed", `${act}: ${words}`);
}

async function isKnownType(type: string): Promise<boolean> {
  const known = await readFile("/proc/filesystems", "utf8");
  return known.split("\n").some((line) => line.split("\t")[1] === type);
}
