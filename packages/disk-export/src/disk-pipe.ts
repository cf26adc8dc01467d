import { constants, open } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";

import type { DiskPlan } from "./disk-plan.js";
import { writeDiskTo } from "./disk-stream.js";
import type { WriteDiskOptions, WrittenDisk } from "./disk-stream.js";
import { asWriteFailure, writeAt, writeFailure } from "./system-write.js";

const DRAIN_BYTES = 64 << 10;
const DRAIN_POLL_MS = 5;

/** Waits for a reader, then writes to it. */
export async function writeFifo(plan: DiskPlan, path: string, options: WriteDiskOptions): Promise<WrittenDisk> {
  const { signal } = options;
  const failed = asWriteFailure(path);
  const handle = await releasedOnAbort(() => open(path, constants.O_WRONLY).catch(failed), path, signal);
  try {
    const sink = (bytes: Uint8Array): Promise<void> =>
      releasedOnAbort(() => writeAt(handle, bytes, null).catch(failed), path, signal);
    return await writeDiskTo(plan, sink, options);
  } finally {
    await handle.close();
  }
}

/** Writes to this process's standard output, which stays open. */
export async function writeStandardOutput(plan: DiskPlan, options: WriteDiskOptions): Promise<WrittenDisk> {
  return writeDiskTo(plan, writeToStandardOutput, options);
}

function writeToStandardOutput(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(writeFailure("standard output", error));
    // A reader that went away is told twice, to the callback and then as an event that would end the process: this stays for it.
    process.stdout.once("error", fail);
    process.stdout.write(bytes, (error) => {
      if (error !== null && error !== undefined) {
        fail(error);
        return;
      }
      process.stdout.removeListener("error", fail);
      resolve();
    });
  });
}

/**
 * Opening and writing a FIFO hold a thread until a reader acts, and no signal reaches it there. So on an abort this acts as the
 * reader; whoever waits for the work sees the signal next.
 */
async function releasedOnAbort<Result>(
  work: () => Promise<Result>,
  path: string,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return work();
  signal.throwIfAborted();
  const settled = new AbortController();
  const release = (): void => void drain(path, settled.signal);
  signal.addEventListener("abort", release, { once: true });
  try {
    return await work();
  } finally {
    signal.removeEventListener("abort", release);
    settled.abort();
  }
}

async function drain(path: string, settled: AbortSignal): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const bytes = new Uint8Array(DRAIN_BYTES);
  while (!settled.aborted) {
    await handle.read(bytes).catch(nothingYet);
    await setTimeout(DRAIN_POLL_MS);
  }
  await handle.close();
}

function nothingYet(error: NodeJS.ErrnoException): void {
  if (error.code !== "EAGAIN") throw error;
}
