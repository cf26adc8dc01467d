import type { Protocol } from "../protocol/layout.js";
import { createNames } from "../protocol/names.js";
import { createReplies } from "../protocol/replies.js";
import { createResponder, type ResponderOptions } from "../protocol/responder.js";
import { createXattrs } from "../protocol/xattrs.js";
import { createDevice } from "./device.js";
import { serve } from "./serve.js";

/** What the serving thread begins with. */
export interface ServingData {
  readonly fd: number;
  readonly protocol: Protocol;
  readonly options: ResponderOptions;
  /** One number of {@link GATE}. The thread waits while it is `closed`: before anything is mounted the device cannot be read. The index is its first message. */
  readonly gate: Int32Array;
  readonly counts: Float64Array;
}

export const GATE = { closed: 0, open: 1 } as const;

/**
 * What the thread that answers the kernel runs: the text of self-contained functions, so that no file has to be found beside a package, in a bundle
 * or under a test runner. It blocks in read(2) and never comes back to its event loop; what it has to say it posts: a `Call`, or nothing when the kernel has begun.
 */
export function servingScript(): string {
  return `"use strict";
const { parentPort, receiveMessageOnPort, workerData } = require("node:worker_threads");
const { fd, protocol, options, gate, counts } = workerData;
const device = (${createDevice.toString()})(fd, { fs: require("node:fs"), wasi: require("node:wasi"), WebAssembly, now: () => performance.now() });
Atomics.wait(gate, 0, ${GATE.closed});
if (gate[0] === ${GATE.open}) {
  const { message: index } = receiveMessageOnPort(parentPort);
  const replies = (${createReplies.toString()})(protocol, index);
  const names = (${createNames.toString()})(protocol, index, replies);
  const xattrs = (${createXattrs.toString()})(protocol, index, replies);
  const call = (message) => parentPort.postMessage(message);
  const respond = (${createResponder.toString()})(protocol, index, options, { replies, names, xattrs, call });
  (${serve.toString()})(device, { respond, replies, counts, onReady: () => parentPort.postMessage(undefined) });
}`;
}
