import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import { CLI } from "./lamella.js";

/** A disk that `lamella serve nbd` serves. */
export interface ServedDisk {
  readonly uri: string;
  readonly socket: string;
  readonly sizeBytes: number;
}

/** How it ended: its status, what it had to say of itself, and what it complained of. */
export interface Served {
  readonly status: number | null;
  readonly stats: { readonly requests: number; readonly failedRequests: number; readonly bytesSent: number };
  readonly stderr: string;
}

/** Serves for as long as `use` takes; then the command is interrupted, as by Ctrl-C. */
export async function withServedDisk(
  args: readonly string[],
  use: (disk: ServedDisk) => Promise<void>,
): Promise<Served> {
  const child = spawn(process.execPath, [CLI, "serve", "nbd", "--json", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = once(child, "close");
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  try {
    const first = (await lines.next()) as IteratorResult<string, undefined>;
    if (first.done === true) throw new Error(`cannot serve a disk: ${stderr}`);
    await use(JSON.parse(first.value) as ServedDisk);
    child.kill("SIGINT");
    const last = (await lines.next()) as IteratorResult<string, undefined>;
    const [status] = (await closed) as [number | null];
    return { status, stats: JSON.parse(last.value ?? "null") as Served["stats"], stderr };
  } finally {
    if (child.kill("SIGKILL")) await closed;
  }
}
