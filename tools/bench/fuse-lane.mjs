/** One of several that use a directory at once: a worker that waits for the others. */
import { statSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

const { names, gate } = workerData;
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port to a thread, not a window
parentPort.postMessage("ready");
Atomics.wait(gate, 0, 0);
for (const name of names) statSync(name);
