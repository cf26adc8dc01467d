import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const DAEMON = join(import.meta.dirname, "../../../apps/daemon/dist/lamellad.mjs");

/** A `lamellad` as it is shipped, for its page. */
export interface PageDaemon extends AsyncDisposable {
  /** `http://127.0.0.1:PORT/` */
  readonly url: string;
}

export async function startPageDaemon(root: string, ...flags: readonly string[]): Promise<PageDaemon> {
  const args = [DAEMON, "--root", root, "--listen", "127.0.0.1:0", ...flags];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  const ended = once(child, "exit");
  const [line] = (await Promise.race([
    once(createInterface(child.stdout), "line"),
    ended.then(() => Promise.reject(new Error("cannot start lamellad: it ended at once"))),
  ])) as [string];
  const { listening } = JSON.parse(line) as { listening: string };
  return {
    url: `${listening}/`,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}
