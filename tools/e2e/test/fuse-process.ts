import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { CLI } from "./lamella.js";

const SERVER = fileURLToPath(new URL("fuse-server.mjs", import.meta.url));
const START_MS = 60_000;

/** A process that mounts something and stays. */
export interface FuseProcess {
  readonly child: ChildProcess;
  /** What it has said when it was ready. */
  readonly line: string;
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** All that it said on standard output and standard error. */
  said(): string;
}

/** Starts the test's own server, which never gives the file `never`. */
export function startFuseServer(directory: string, ...args: string[]): Promise<FuseProcess> {
  return start(process.execPath, [SERVER, directory, ...args]);
}

/** Starts `lamella mount`, as it is shipped. */
export function startLamellaMount(...args: string[]): Promise<FuseProcess> {
  return start(process.execPath, [CLI, "mount", ...args]);
}

async function start(command: string, args: readonly string[]): Promise<FuseProcess> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = (once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>).then(
    ([code, signal]) => code ?? signal ?? 0,
  );
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (text) => (said += `${text}\n`));
  const limit = AbortSignal.timeout(START_MS);
  const first = (once(lines, "line", { signal: limit }) as Promise<[string]>).then(([line]) => line);
  const line = await Promise.race([first, ended.then(() => undefined)]);
  if (line === undefined) throw new Error(`the server ended before it had mounted: ${said}`);
  return { child, line, ended, said: () => said };
}

/** A program that uses a mount: what it ends with, by itself or within the time. */
export async function endsWithin(
  child: ChildProcess,
  milliseconds: number,
): Promise<number | NodeJS.Signals | "hangs"> {
  const limit = sleep(milliseconds, "hangs" as const);
  if (child.exitCode !== null) return child.exitCode;
  if (child.signalCode !== null) return child.signalCode;
  const end = (once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>).then(
    ([code, signal]) => code ?? signal ?? 0,
  );
  return Promise.race([end, limit]);
}

/** Waits until a process waits for a file to be read, and goes on waiting. */
export async function waitUntilReading(pid: number): Promise<void> {
  for (let times = 0; times < 5;) {
    const place = await readFile(`/proc/${pid}/wchan`, "latin1");
    const status = await readFile(`/proc/${pid}/status`, "latin1");
    if (/^State:\s+[XZ]/m.test(status)) throw new Error("the reader has ended");
    times = /^folio_wait|^request_wait_answer/.test(place) ? times + 1 : 0;
    await sleep(20);
  }
}
