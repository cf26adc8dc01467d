import { setImmediate } from "node:timers/promises";

import { createDigester } from "@lamella/refs";
import type { CallOptions, Digest, Digester } from "@lamella/refs";

import { diskParts } from "./disk-parts.js";
import type { DiskPart } from "./disk-parts.js";
import type { DiskPlan } from "./disk-plan.js";

/** A hole is hashed and streamed this much at a time. */
const ZEROS_BYTES = 1 << 20;

export interface WriteDiskOptions extends CallOptions {
  /** Called as bytes are written; holes count as bytes. Ends with both numbers equal. */
  onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
  /** Whether to take the SHA-256 of the whole disk, holes included. */
  digest?: boolean | undefined;
}

export interface WrittenDisk {
  readonly sizeBytes: number;
  /** Only where it was asked for. */
  readonly digest?: Digest;
}

/** Takes a disk's next bytes. They are valid until it resolves. */
export type DiskSink = (bytes: Uint8Array) => Promise<void>;

/**
 * Writes a whole disk in ascending order, its holes as zeros: for pipes and whatever else cannot seek.
 * @throws what `sink` or the plan throws, and `signal.reason`
 */
export async function writeDiskTo(
  plan: DiskPlan,
  sink: DiskSink,
  options: WriteDiskOptions = {},
): Promise<WrittenDisk> {
  const zeros = new Uint8Array(ZEROS_BYTES);
  return passDisk(plan, options, async ({ length, bytes }) => {
    if (bytes !== undefined) return sink(bytes);
    for (let left = length; left > 0; left -= zeros.length) {
      options.signal?.throwIfAborted();
      await sink(left < zeros.length ? zeros.subarray(0, left) : zeros);
    }
  });
}

/** Gives every part of a disk to `write`, which runs while the next part is read and this one is hashed. */
export async function passDisk(
  plan: DiskPlan,
  { signal, onProgress, digest }: WriteDiskOptions,
  write: (part: DiskPart) => Promise<void>,
): Promise<WrittenDisk> {
  signal?.throwIfAborted();
  const { sizeBytes } = plan;
  const digester = digest === true ? createDigester("sha256") : undefined;
  let writing = Promise.resolve();
  try {
    let done = 0;
    for await (const part of diskParts(plan, { signal })) {
      await writing;
      signal?.throwIfAborted();
      onProgress?.(done, sizeBytes);
      writing = write(part);
      // It is awaited before the next part; until then its failure is not one that nobody handles.
      writing.catch(() => undefined);
      if (digester !== undefined) await hashPart(digester, part, signal);
      done += part.length;
    }
    await writing;
    signal?.throwIfAborted();
    onProgress?.(sizeBytes, sizeBytes);
  } finally {
    await Promise.allSettled([writing]);
  }
  return digester === undefined ? { sizeBytes } : { sizeBytes, digest: digester.digest() };
}

async function hashPart(
  digester: Digester,
  { length, bytes }: DiskPart,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (bytes !== undefined) {
    digester.update(bytes);
    return;
  }
  const zeros = new Uint8Array(Math.min(length, ZEROS_BYTES));
  for (let left = length; left > 0; left -= zeros.length) {
    digester.update(left < zeros.length ? zeros.subarray(0, left) : zeros);
    // Hashing a hole of many gigabytes must not keep everything else from running.
    await setImmediate();
    signal?.throwIfAborted();
  }
}
