/** Processes that tests start to work beside each other, or to be killed. A worker says `ready` on a line of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** @type {import("./worker-process.d.mts").startWorker} */
export function startWorker(program, ...task) {
  const child = spawn(process.execPath, [fileURLToPath(program), ...task], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (complaint += text));
  const exited = once(child, "close");
  const ready = new Promise((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text) => {
      said += text;
      if (said.includes("ready\n")) resolve();
    });
    void exited.then(() => reject(new Error(`the worker ended: ${complaint}`)));
  });
  const ended = exited.then(([code]) => {
    if (code !== 0) throw new Error(`the worker ended with ${code}: ${complaint}`);
    return said;
  });
  ready.catch(() => {});
  ended.catch(() => {});
  return {
    ready,
    ended,
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
