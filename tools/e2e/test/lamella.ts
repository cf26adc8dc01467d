import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

export const CLI: string = join(import.meta.dirname, "../../../apps/cli/dist/lamella.mjs");
const POLL_MS = 20;

export interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The most memory the process held at once (VmHWM), in bytes. */
  readonly peakBytes: number;
}

export interface RunOptions {
  env?: NodeJS.ProcessEnv;
  stdin?: Uint8Array | undefined;
  /** Resolves when the process shall be interrupted, as Ctrl-C does it. */
  interrupt?: Promise<unknown>;
  /** Resolves when the process shall be killed, as power is cut. */
  kill?: Promise<unknown>;
  /** Whose process it is; only root can say so. */
  uid?: number;
}

/** Runs the command as it is shipped. */
export async function lamella(
  args: readonly string[],
  { env = {}, stdin, interrupt, kill, uid }: RunOptions = {},
): Promise<Run> {
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  // a command that reads none of it may be gone before all of it is written
  child.stdin.on("error", () => {}).end(stdin);
  void interrupt?.then(() => child.kill("SIGINT"));
  void kill?.then(() => child.kill("SIGKILL"));
  const output = Promise.all([text(child.stdout), text(child.stderr)]);
  let peakBytes = 0;
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject).once("close", (code, signal) => resolve(code ?? (signal === "SIGKILL" ? 137 : 143)));
  });
  const watch = (async () => {
    while (child.exitCode === null && child.signalCode === null) {
      peakBytes = Math.max(peakBytes, await highWaterMark(child.pid ?? 0));
      await sleep(POLL_MS);
    }
  })();
  const [status, [stdout, stderr]] = await Promise.all([ended, output, watch]);
  return { status, stdout, stderr, peakBytes };
}

async function highWaterMark(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
}
