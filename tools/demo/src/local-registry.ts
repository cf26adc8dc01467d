import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const DAEMON = join(import.meta.dirname, "../../../apps/daemon/dist/lamellad.mjs");

/** A `lamellad` of our own on a free port of loopback. */
export interface LocalRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
}

/** Starts the daemon as it is shipped, with its store in a directory. */
export async function startRegistry(directory: string): Promise<LocalRegistry> {
  const args = [DAEMON, "--root", directory, "--listen", "127.0.0.1:0", "--no-token", "--log-level", "warn"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const [line] = (await Promise.race([
    once(createInterface(child.stdout), "line"),
    ended.then(() => Promise.reject(new Error("cannot start lamellad: it ended at once"))),
  ])) as [string];
  const { listening } = JSON.parse(line) as { listening: string };
  return {
    address: new URL(listening).host,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
