import { Worker } from "node:worker_threads";

import { PROTOCOL } from "../protocol/layout.js";
import type { Call, ResponderOptions } from "../protocol/responder.js";
import type { TreeIndex } from "../tree/tree-index.js";
import { GATE, type ServingData, servingScript } from "./serving-script.js";

/** It keeps next to nothing: what it reads from is shared. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 16 };

export interface ServingThreadOptions {
  /** An open /dev/fuse. */
  readonly fd: number;
  readonly options: ResponderOptions;
}

/** The thread that answers the kernel. It keeps the process alive. */
export interface ServingThread {
  /** Lets it begin. The device has to be mounted by then. @param handle gets what the thread cannot answer itself */
  begin(index: TreeIndex, handle: (call: Call) => void): void;
  /** Ends it before it has begun. */
  cancel(): Promise<void>;
  /** Resolves when it has answered the kernel for the first time. */
  readonly ready: Promise<void>;
  /** Resolves when there is nobody any more to answer, or with the error that ended it. */
  readonly ended: Promise<Error | undefined>;
  requestCount(): number;
}

export function startServingThread({ fd, options }: ServingThreadOptions): ServingThread {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const counts = new Float64Array(new SharedArrayBuffer(8));
  const workerData: ServingData = { fd, protocol: PROTOCOL, options, gate, counts };
  const worker = new Worker(servingScript(), {
    eval: true,
    // The process's own options may say that a script's text is a module.
    execArgv: ["--disable-warning=ExperimentalWarning"],
    workerData,
    resourceLimits: RESOURCE_LIMITS,
    name: "lamella-fuse",
  });

  let markReady = (): void => {};
  const ready = new Promise<void>((resolve) => (markReady = resolve));
  const ended = new Promise<Error | undefined>((resolve) => {
    worker.on("error", resolve).on("exit", () => resolve(undefined));
  });
  return {
    begin(index, handle) {
      worker.on("message", (call: Call | undefined) => (call === undefined ? markReady() : handle(call)));
      worker.postMessage(index, []);
      Atomics.store(gate, 0, GATE.open);
      Atomics.notify(gate, 0);
    },
    cancel: async () => void (await worker.terminate()),
    ready,
    ended,
    requestCount: () => counts[0]!,
  };
}
