// A thread that shows an input and never comes back.
import { workerData } from "node:worker_threads";

const { state, input } = workerData;
new Uint8Array(input).set([104, 97, 110, 103]);
new Int32Array(state)[0] = 4;
new Int32Array(state)[1] = 1;
for (;;);
