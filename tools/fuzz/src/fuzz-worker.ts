import { parentPort, workerData } from "node:worker_threads";

import { fuzzLoop } from "./fuzz-loop.js";
import { targetOf } from "./targets.js";
import type { FuzzMessage, FuzzOrder } from "./fuzz.js";

const { target, seconds, seed, state, input } = workerData as FuzzOrder;
const [length, running] = [new Int32Array(state, 0, 1), new Int32Array(state, 4, 1)];
const shown = new Uint8Array(input);

const report = await fuzzLoop(targetOf(target), {
  seconds,
  seed,
  watch: {
    begin(bytes) {
      shown.set(bytes.subarray(0, shown.length));
      length[0] = bytes.length;
      running[0] = (running[0] ?? 0) + 1;
    },
    end() {
      running[0] = (running[0] ?? 0) + 1;
    },
  },
  onFault(bytes, error) {
    send({
      fault: Uint8Array.from(bytes),
      reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  },
});
send({ report });

function send(message: FuzzMessage): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port to a thread, not a window
  parentPort?.postMessage(message);
}
