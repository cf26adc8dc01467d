import { randomBytes } from "node:crypto";
import { constants, open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { CallOptions } from "@lamella/refs";

import type { ByteSource } from "./disk-plan.js";
import { DiskExportError } from "./errors.js";
import { asWriteFailure, writeAt } from "./system-write.js";

const CHUNK_BYTES = 1 << 20;

/** A temporary file without a name: gone with the process, whatever happens, and with its disposal. */
export interface Spool extends ByteSource, AsyncDisposable {
  /** @throws {DiskExportError} `write_failed` */
  write(bytes: Uint8Array, offset: number): Promise<void>;
}

/**
 * @param directory where the file takes its room; the system's directory for temporary files by default
 * @throws {DiskExportError} `write_failed`
 */
export async function createSpool(directory: string = tmpdir()): Promise<Spool> {
  const path = join(directory, `.lamella-${randomBytes(6).toString("hex")}.tmp`);
  const failed = asWriteFailure(path);
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600).catch(failed);
  try {
    await rm(path).catch(failed);
  } catch (error) {
    await handle.close();
    throw error;
  }
  let closed: Promise<void> | undefined;
  // A disk's segments may be thousands: a buffer for each would be memory that nobody has freed yet.
  let spare: Uint8Array | undefined;

  async function* read(offset: number, length: number, options?: CallOptions): AsyncGenerator<Uint8Array> {
    const buffer = spare ?? new Uint8Array(CHUNK_BYTES);
    spare = undefined;
    try {
      yield* readHandle(handle, buffer, { offset, length, ...options });
    } finally {
      spare = buffer;
    }
  }

  return {
    write: (bytes, offset) => writeAt(handle, bytes, offset).catch(failed),
    read,
    [Symbol.asyncDispose]: () => (closed ??= handle.close()),
  };
}

async function* readHandle(
  handle: FileHandle,
  buffer: Uint8Array,
  { offset, length, signal }: { offset: number; length: number } & CallOptions,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < length;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - done), offset + done);
    if (bytesRead === 0)
      throw new DiskExportError("write_failed", `cannot read back what was spooled: it ends at ${offset + done}`);
    yield buffer.subarray(0, bytesRead);
    done += bytesRead;
  }
}
