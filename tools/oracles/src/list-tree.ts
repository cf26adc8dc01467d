import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { CallOptions } from "./command.js";
import { OracleError } from "./errors.js";
import { requireTool } from "./requirements.js";
import type { TreeRecord } from "./tree-record.js";

const PROGRAM = fileURLToPath(new URL("../list-tree.py", import.meta.url));

/**
 * Lists a directory with everything in it: the root first, then in the order of `comparePaths`.
 *
 * The work is done by a Python program that shares no code with Lamella. Root sees all of it: `trusted.*` attributes and
 * files without permissions. Throws `listing_incomplete` if the program breaks off, with what it said.
 */
export async function* listTree(directory: string, options: CallOptions = {}): AsyncGenerator<TreeRecord> {
  options.signal?.throwIfAborted();
  const child = spawn(requireTool("python3"), [PROGRAM, directory], {
    env: { ...process.env, LC_ALL: "C.UTF-8" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = once(child, "close") as Promise<[number | null]>;
  // a failure to start also ends the lines below, and is reported after them
  closed.catch(() => undefined);
  const exited = once(child, "exit").catch(() => undefined);
  const abort = (): boolean => child.kill("SIGTERM");
  options.signal?.addEventListener("abort", abort);
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-4096);
  });

  let count = 0;
  let announced = -1;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      options.signal?.throwIfAborted();
      const record = JSON.parse(line) as TreeRecord | { end: number };
      if ("end" in record) {
        announced = record.end;
      } else {
        count += 1;
        yield record;
      }
    }
    const [exitCode] = await closed;
    options.signal?.throwIfAborted();
    if (exitCode !== 0 || announced !== count) {
      throw new OracleError(
        "listing_incomplete",
        `cannot list ${directory}: ${complaint.trim() || `exit code ${exitCode}`}`,
      );
    }
  } finally {
    options.signal?.removeEventListener("abort", abort);
    child.kill("SIGTERM");
    // as long as it lives it may hold the mount that it lists
    await exited;
  }
}
