import { Worker } from "node:worker_threads";

import type { FuzzReport } from "./fuzz-loop.js";

export interface FuzzOptions {
  readonly target: string;
  readonly seconds: number;
  readonly seed: number;
  /** How long one input may take; five seconds by default. */
  readonly hangMs?: number;
  /** The program of the thread. */
  readonly program?: URL;
}

/** An input that should not have done what it did. */
export interface Fault {
  readonly input: Uint8Array;
  readonly reason: string;
}

export interface FuzzResult {
  /** Absent if the run did not come to its end. */
  readonly report?: FuzzReport;
  readonly faults: readonly Fault[];
}

/** What the worker is told. */
export interface FuzzOrder extends Omit<FuzzOptions, "program"> {
  /** The length of the input at work, and a count that is odd while it is. */
  readonly state: SharedArrayBuffer;
  readonly input: SharedArrayBuffer;
}

export type FuzzMessage = { readonly fault: Uint8Array; readonly reason: string } | { readonly report: FuzzReport };

const INPUT_BYTES = 1 << 20;
const HANG_MS = 5000;
/** Built code, also for a test that runs this source. */
const PROGRAM = new URL("../dist/fuzz-worker.js", import.meta.url);

/**
 * Fuzzes a target in a thread of its own, until the time is over or a fault is found. An input that takes over `hangMs` is
 * a fault as well, and so is one that ends the thread or makes memory grow.
 */
export async function fuzz({ hangMs = HANG_MS, program = PROGRAM, ...options }: FuzzOptions): Promise<FuzzResult> {
  const order: FuzzOrder = {
    ...options,
    state: new SharedArrayBuffer(8),
    input: new SharedArrayBuffer(INPUT_BYTES),
  };
  const [length, running] = [new Int32Array(order.state, 0, 1), new Int32Array(order.state, 4, 1)];
  const inputNow = (): Uint8Array => new Uint8Array(order.input).slice(0, length[0]);
  const worker = new Worker(program, { workerData: order });
  const faults: Fault[] = [];
  let report: FuzzReport | undefined;
  worker.on("message", (message: FuzzMessage) => {
    if ("report" in message) report = message.report;
    else faults.push({ input: message.fault, reason: message.reason });
  });

  let seen = -1;
  const watchdog = setInterval(() => {
    const now = running[0] ?? 0;
    if (now === seen && now % 2 === 1) {
      faults.push({ input: inputNow(), reason: `it takes over ${hangMs} ms` });
      void worker.terminate();
    }
    seen = now;
  }, hangMs);
  try {
    await new Promise<void>((resolve) => {
      worker.on("error", (error) => {
        faults.push({ input: inputNow(), reason: `the thread has ended: ${String(error)}` });
      });
      worker.on("exit", () => resolve());
    });
  } finally {
    clearInterval(watchdog);
  }
  return { faults, ...(report === undefined ? {} : { report }) };
}
