import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

import type { CallOptions } from "@lamella/refs";

import { blockDeviceSize } from "../disk-device.js";
import type { ByteSource } from "../disk-plan.js";
import { DiskExportError } from "../errors.js";

const CHUNK_BYTES = 1 << 20;

/** The bytes of a disk, at random. A `DiskPlan` is one. */
export interface DiskSource extends ByteSource {
  readonly sizeBytes: number;
}

/** A part of a disk as a disk of its own. */
export function sliceSource(source: DiskSource, start: number, sizeBytes: number): DiskSource {
  return { sizeBytes, read: (offset, length, options) => source.read(start + offset, length, options) };
}

/** Exactly these bytes, which lie within the source. */
export async function readBytes(
  source: DiskSource,
  offset: number,
  length: number,
  options: CallOptions = {},
): Promise<Uint8Array> {
  options.signal?.throwIfAborted();
  const bytes = new Uint8Array(length);
  let filled = 0;
  for await (const chunk of source.read(offset, length, options)) {
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  return bytes;
}

/**
 * Opens a file or a block device. Whoever opens it closes it. It must not change while it is in use.
 * @throws {DiskExportError} `option_invalid` for anything else; errors of the file system pass as they are
 */
export async function openDiskFile(path: string, options: CallOptions = {}): Promise<DiskSource & AsyncDisposable> {
  options.signal?.throwIfAborted();
  const handle = await open(path, "r");
  try {
    const stats = await handle.stat({ bigint: true });
    if (!stats.isFile() && !stats.isBlockDevice())
      throw new DiskExportError("option_invalid", `cannot open ${path}: neither a file nor a block device`);
    const sizeBytes = stats.isFile() ? Number(stats.size) : await blockDeviceSize(stats.rdev);
    return {
      sizeBytes,
      read: (offset, length, call) => readHandle(handle, path, { ...call, offset, length }),
      [Symbol.asyncDispose]: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function* readHandle(
  handle: FileHandle,
  path: string,
  { offset, length, signal }: CallOptions & { offset: number; length: number },
): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(length, CHUNK_BYTES));
  for (let done = 0; done < length;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - done), offset + done);
    signal?.throwIfAborted();
    if (bytesRead === 0) throw new DiskExportError("disk_invalid", `cannot read ${path}: it ends at ${offset + done}`);
    yield buffer.subarray(0, bytesRead);
    done += bytesRead;
  }
}
