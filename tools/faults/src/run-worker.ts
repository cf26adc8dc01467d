import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { performance } from "node:perf_hooks";

import type { ErrorReport } from "./error-report.js";
import type { Place } from "./operations.js";
import { shimEnvironment } from "./shim.js";
import type { ShimOptions } from "./shim.js";

const WORKER = join(import.meta.dirname, "../dist/worker.js");

export interface WorkerOptions {
  readonly shim?: ShimOptions | undefined;
  /** Kills it so long after it has begun. */
  readonly killAfterMs?: number | undefined;
  /** How many files it may have open beside those that Node has. */
  readonly spareFiles?: number | undefined;
}

/** How a process that did an operation ended. */
export interface WorkerOutcome {
  /** The store had promised that it was done. */
  readonly acknowledged: boolean;
  readonly killed: boolean;
  readonly error: ErrorReport | undefined;
  /** From its beginning to its end. */
  readonly ms: number;
}

/** What takes so long hangs. */
const PATIENCE_MS = 60_000;

/** Does an operation in a process of its own. */
export async function runWorker(operation: string, place: Place, options: WorkerOptions = {}): Promise<WorkerOutcome> {
  const spare = options.spareFiles === undefined ? [] : [`${options.spareFiles}`];
  const args = [WORKER, operation, place.store, place.images, ...spare];
  const env = options.shim === undefined ? process.env : shimEnvironment(options.shim);
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const orphan = (): boolean => child.kill("SIGKILL");
  process.on("exit", orphan);
  let isHanging = false;
  const patience = setTimeout(() => (isHanging = orphan()), PATIENCE_MS);
  let timer: NodeJS.Timeout | undefined;
  let began: number | undefined;
  let [said, complaint] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (began !== undefined) return;
    began = performance.now();
    if (options.killAfterMs !== undefined) timer = setTimeout(orphan, options.killAfterMs);
  });
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  clearTimeout(patience);
  clearTimeout(timer);
  process.off("exit", orphan);
  const lines = said.trim().split("\n");
  const last = lines.at(-1) ?? "";
  const error = last.startsWith("{") ? (JSON.parse(last) as ErrorReport) : undefined;
  const killed = signal === "SIGKILL";
  if (isHanging) throw new Error(`${operation} hung: ${complaint}`);
  if (!killed && code !== 0 && error === undefined) {
    throw new Error(`${operation} ended with ${code ?? signal}: ${complaint}`);
  }
  const ms = performance.now() - (began ?? performance.now());
  return { acknowledged: lines.includes("done"), killed, error, ms };
}
