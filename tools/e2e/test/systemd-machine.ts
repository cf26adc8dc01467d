import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { requireTool, runCommand } from "@lamella/oracles";

const BOOT_TIMEOUT_MS = 120_000;
const POLL_MS = 100;
const SAID_CHARACTERS = 8000;

/** What it takes. */
export const systemdNeeds: readonly string[] = ["root", "systemd-nspawn", "mount", "nsenter"];

/** systemd as the first process of a container that has this machine's files, network and nothing else of it. What it writes is gone with it. */
export interface SystemdMachine extends AsyncDisposable {
  /** What a path of the machine is to this process. */
  path(inside: string): string;
  /** Runs a shell's script inside, as root, until its first command that fails. @returns what it has printed */
  run(script: string): Promise<string>;
}

/** @param shown directories of this machine, by where they are shown, read-only */
export async function bootSystemd(shown: Readonly<Record<string, string>>): Promise<SystemdMachine> {
  const work = await mkdtemp(join(tmpdir(), "lamella-systemd-"));
  const [changes, root] = [join(work, "changes"), join(work, "root")];
  const closing: (() => Promise<unknown>)[] = [() => rm(work, { recursive: true })];
  const dispose = async (): Promise<void> => {
    for (const close of closing.toReversed()) await close();
  };
  const mount = async (at: string, ...parameters: string[]): Promise<void> => {
    await mkdir(at);
    await runCommand("mount", [...parameters, at], { accept: [0] });
    closing.push(() => runCommand("umount", [at], { accept: [0] }));
  };
  try {
    await mount(changes, "-t", "tmpfs", "tmpfs");
    const [upper, overlayWork] = [join(changes, "upper"), join(changes, "work")];
    for (const directory of [upper, overlayWork]) await mkdir(directory);
    await mount(root, "-t", "overlay", "overlay", "-o", `lowerdir=/,upperdir=${upper},workdir=${overlayWork}`);
    await writeFile(join(root, "etc/machine-id"), "00000000000040008000000000000001\n");

    const binds = Object.entries(shown).map(([inside, outside]) => `--bind-ro=${outside}:${inside}`);
    const parameters = ["--register=no", "--keep-unit", `--directory=${root}`, ...binds, "--console=pipe", "--boot"];
    const container = spawn(requireTool("systemd-nspawn"), [...parameters, "systemd.unit=basic.target"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = once(container, "close");
    let said = "";
    for (const stream of [container.stdout, container.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-SAID_CHARACTERS)));
    }
    closing.push(async () => {
      const first = await firstProcessOf(container.pid);
      process.kill(first ?? container.pid!, "SIGKILL");
      await ended;
    });
    const until = performance.now() + BOOT_TIMEOUT_MS;
    for (;;) {
      const first = await firstProcessOf(container.pid);
      const inside = ["--all", "--target", `${first}`];
      const isUp = ["systemctl", "is-active", "--quiet", "basic.target"];
      if (first !== undefined && (await runCommand("nsenter", [...inside, ...isUp])).exitCode === 0) {
        return {
          path: (path) => join(`/proc/${first}/root`, path),
          run: async (script) =>
            (await runCommand("nsenter", [...inside, "sh", "-ec", script], { accept: [0] })).output,
          [Symbol.asyncDispose]: dispose,
        };
      }
      if (container.exitCode !== null || performance.now() > until)
        throw new Error(`cannot boot systemd in a container: ${said}`);
      await sleep(POLL_MS);
    }
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Undefined as long as the container has none. */
async function firstProcessOf(container: number | undefined): Promise<number | undefined> {
  try {
    const [first] = (await readFile(`/proc/${container}/task/${container}/children`, "utf8")).split(" ");
    return first === undefined || first === "" ? undefined : Number(first);
  } catch {
    return undefined;
  }
}
