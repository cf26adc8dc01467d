import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { open, readFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { CallOptions } from "./command.js";
import { OracleError } from "./errors.js";

const START_TIMEOUT_MS = 20_000;

export interface DaemonOptions extends CallOptions {
  program: string;
  parameters: readonly string[];
  /** The unix socket by which it answers. The path must stay under 108 bytes. */
  socket: string;
  /** The file for what it says. */
  log: string;
}

/** Runs a program that answers on a unix socket for as long as `use` takes; it is asked to end, and is gone, before the promise settles. */
export async function withDaemon<T>(options: DaemonOptions, use: () => Promise<T>): Promise<T> {
  options.signal?.throwIfAborted();
  const log = await open(options.log, "w");
  const child = spawn(options.program, options.parameters, { stdio: ["ignore", log.fd, log.fd] });
  const orphan = (): boolean => child.kill("SIGTERM");
  process.on("exit", orphan);
  try {
    await answering(child, options);
    return await use();
  } finally {
    await end(child);
    process.off("exit", orphan);
    await log.close();
  }
}

async function answering(child: ChildProcess, { program, socket, log, signal }: DaemonOptions): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await accepts(socket))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      const said = (await readFile(log, "utf8")).trim().slice(-2000);
      throw new OracleError("tool_failed", `cannot start ${basename(program)}: ${said || "no answer"}`);
    }
    await delay(50, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket, () => {
      connection.destroy();
      resolve(true);
    });
    connection.on("error", () => resolve(false));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}
