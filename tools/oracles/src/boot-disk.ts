import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { CallOptions } from "./command.js";
import { runCommand } from "./command.js";
import type { Kernel } from "./debian-kernel.js";
import { extendedInitramfs, mountingInitramfs } from "./initramfs.js";
import type { VerityRequest } from "./initramfs.js";

const CONSOLE_CHARACTERS = 256 * 1024;
const POLL_MS = 20;
const CUT = new Error("the machine's power is cut");

export interface BootRequest extends CallOptions {
  /** A disk image, the URI of a disk that is served by NBD, or an uncompressed cpio archive. It is not written to but where it is `writable`. */
  image: string;
  /**
   * - `ext4`: the kernel mounts the disk itself, with no initramfs.
   * - `erofs`: an initramfs of busybox loads the module and mounts it.
   * - `cpio`: the archive is the initramfs.
   */
  format: "ext4" | "erofs" | "cpio";
  /** More EROFS disks, each laid over the one before and the first over `image`: the root is an overlay of them all. */
  overlaid?: readonly string[];
  /** An initramfs opens `image`, ext4 or EROFS, by dm-verity. */
  verity?: VerityRequest;
  /** The kernel mounts the disk, which must be ext4, to write to it, and `image` keeps what the machine wrote. */
  writable?: boolean;
  /** One more disk, `/dev/vda`, for an ext4 or EROFS root: the machine may write to it. */
  logged?: LoggedDisk;
  kernel: Kernel;
  /** A line of the root's shell, without double quotes, that must succeed before the marker is printed. */
  script?: string;
  /** Asked of the console so far, again and again: once it says yes, the machine is killed in the middle of whatever it does. */
  cutWhen?: (console: string) => boolean;
  /** After this long the machine is switched off and has not booted. 180,000 by default: there is no hardware virtualisation here. */
  timeoutMs?: number;
  /** Memory of the machine; 1024 by default. */
  memoryMiB?: number;
}

export interface LoggedDisk {
  image: string;
  /** Made anew: every write and flush of the disk, in the format of Linux's dm-log-writes, as QEMU's blklogwrites writes it. */
  log: string;
}

export interface BootReport {
  /** The root's own `/bin/sh` ran as the first process and printed the marker. */
  readonly booted: boolean;
  /** The end of what came over the serial line, with what QEMU itself had to say. */
  readonly console: string;
  readonly seconds: number;
}

/**
 * Boots a root file system in QEMU by software emulation. The root needs `/bin/sh`, `mount` and the directory `/proc`,
 * and no init system: its shell prints a marker that nobody could know before, and switches the machine off.
 */
export async function bootDisk(request: BootRequest): Promise<BootReport> {
  request.signal?.throwIfAborted();
  const work = await mkdtemp(join(tmpdir(), "lamella-boot-"));
  const marker = `BOOTED-${randomUUID()}`;
  const timeout = AbortSignal.timeout(request.timeoutMs ?? 180_000);
  const signal = request.signal ? AbortSignal.any([request.signal, timeout]) : timeout;
  const log = join(work, "console");
  const started = performance.now();
  try {
    const devices = await machine({ ...request, work, signal }, marker);
    const said = await withPower({ log, cutWhen: request.cutWhen, signal }, async (power) => {
      const settings = { signal: power, endWith: "SIGKILL" } as const;
      return (await runCommand("qemu-system-x86_64", ["-serial", `file:${log}`, ...devices], settings)).output;
    }).catch((error: unknown) => {
      if (error === timeout.reason) return "switched off after the time allowed\n";
      if (error === CUT) return "the power was cut\n";
      throw error;
    });
    const text = await readConsole(log);
    return {
      booted: text.split("\n").some((line) => line.startsWith(marker)),
      console: text + said,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

interface Power {
  readonly log: string;
  readonly cutWhen: BootRequest["cutWhen"];
  readonly signal: AbortSignal;
}

/** Hands out a signal that is `signal` and also aborts, by `CUT`, when the console says so. */
async function withPower<T>({ log, cutWhen, signal }: Power, use: (power: AbortSignal) => Promise<T>): Promise<T> {
  if (cutWhen === undefined) return use(signal);
  const power = new AbortController();
  const ended = new AbortController();
  const watch = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      if (cutWhen(await readConsole(log))) return power.abort(CUT);
      await sleep(POLL_MS);
    }
  };
  const watching = watch().catch((error: unknown) => power.abort(error));
  try {
    return await use(AbortSignal.any([signal, power.signal]));
  } finally {
    ended.abort();
    await watching;
  }
}

/** Nothing before the machine has begun. */
async function readConsole(log: string): Promise<string> {
  const text = await readFile(log, "latin1").catch(() => "");
  return text.replaceAll("\r", "").slice(-CONSOLE_CHARACTERS);
}

/** The command line is echoed on the console: the marker is put together only by the shell, so that an echo does not count. */
function rootScript(marker: string, script = "true"): string {
  const [head, ...rest] = marker.split("-");
  const pause = "echo o > /proc/sysrq-trigger; sleep 30";
  return `[ -e /proc/version ] || mount -t proc proc /proc; m=-${rest.join("-")}; ${script} && echo ${head}$m $(uname -r); ${pause}`;
}

async function machine(request: BootRequest & { work: string }, marker: string): Promise<string[]> {
  const script = rootScript(marker, request.script);
  const common = ["-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", String(request.memoryMiB ?? 1024), "-smp", "1"];
  const quiet = ["-nodefaults", "-no-reboot", "-display", "none", "-kernel", request.kernel.vmlinuz];
  const kept = request.writable ? "off" : "on";
  const disks = [request.image, ...(request.overlaid ?? [])].flatMap((file, at) => [
    "-drive",
    `file=${file.replaceAll(",", ",,")},if=none,id=disk${at},format=raw,snapshot=${kept}`,
    "-device",
    `nvme-ns,drive=disk${at},nsid=${at + 1},bus=root`,
  ]);
  const logged = request.logged === undefined ? [] : await loggedDisk(request.logged);
  const disk = ["-device", "nvme,id=root,serial=root", ...disks, ...logged];
  const settings = "console=ttyS0 panic=-1 quiet";
  if (request.format === "cpio") {
    const initramfs = await extendedInitramfs({ ...request, archive: request.image, script });
    return [...common, ...quiet, "-initrd", initramfs, "-append", `${settings} rdinit=/init`];
  }
  if (request.format === "erofs" || request.verity !== undefined || request.logged !== undefined) {
    const diskCount = 1 + (request.overlaid?.length ?? 0);
    const initramfs = await mountingInitramfs({ ...request, format: request.format, diskCount, script });
    return [...common, ...quiet, ...disk, "-initrd", initramfs, "-append", settings];
  }
  const root = `root=/dev/nvme0n1 rootfstype=ext4 ${request.writable ? "rw" : "ro"} init=/bin/sh -- -c "${script}"`;
  return [...common, ...quiet, ...disk, "-append", `${settings} ${root}`];
}

/** Of virtio, which has no writes that stay at once: the guest flushes instead, and the record tells. */
async function loggedDisk({ image, log }: LoggedDisk): Promise<string[]> {
  await writeFile(log, "");
  // what the machine flushes is recorded: this machine's disk need not wait for it
  const file = (path: string): object => ({ driver: "file", filename: path, cache: { "no-flush": true } });
  const node = { driver: "blklogwrites", "node-name": "logged", file: file(image), log: file(log) };
  return ["-blockdev", JSON.stringify(node), "-device", "virtio-blk-pci,drive=logged,discard=off,write-zeroes=off"];
}
