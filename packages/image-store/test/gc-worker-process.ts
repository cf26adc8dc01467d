import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const WORKER = fileURLToPath(new URL("gc-worker.mjs", import.meta.url));

/** A running worker. */
export interface Worker {
  /** When it has said that it is ready; rejects with what it said on stderr if it ends before. */
  readonly ready: Promise<void>;
  /** What it said, when it has ended well; otherwise rejects. */
  readonly ended: Promise<string>;
  /** Ends it by SIGKILL, and waits for that. */
  kill(): Promise<void>;
}

/** Starts a process that does a task of `gc-worker.mjs`. */
export function startWorker(...task: readonly string[]): Worker {
  const child = spawn(process.execPath, [WORKER, ...task], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  const exited = once(child, "close");
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("ready\n")) resolve();
    });
    void exited.then(() => reject(new Error(`the worker ended: ${complaint}`)));
  });
  const ended = exited.then(([code]) => {
    if (code !== 0) throw new Error(`the worker ended with ${String(code)}: ${complaint}`);
    return said;
  });
  ready.catch(() => {});
  ended.catch(() => {});
  return {
    ready,
    ended,
    kill: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
