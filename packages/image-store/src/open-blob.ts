import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

import type { CallOptions } from "@lamella/refs";

import { isErrno } from "./durable.js";
import { ImageStoreError } from "./errors.js";

/** A blob to read from anywhere, in any order, until it is disposed of; by then no read may be under way. Its bytes are not verified. */
export interface OpenBlob extends AsyncDisposable {
  readonly sizeBytes: number;
  /**
   * Reads into `target` what comes from `position` on, and gives the count of bytes: as many as fit, fewer if the system gives fewer, none only at or beyond the end.
   * @throws {ImageStoreError} `store_invalid` if the file ends before the blob does
   */
  read(target: Uint8Array, position: number, options?: CallOptions): Promise<number>;
}

export function openBlobOf({ handle, size }: BlobFile, what: string): OpenBlob {
  return {
    sizeBytes: size,
    async read(target, position, { signal } = {}) {
      signal?.throwIfAborted();
      const length = Math.min(target.length, size - position);
      if (length <= 0) return 0;
      const { bytesRead } = await handle.read(target, 0, length, position);
      if (bytesRead === 0) throw new ImageStoreError("store_invalid", `cannot read ${what}: it shrank`);
      return bytesRead;
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

export interface BlobFile {
  readonly handle: FileHandle;
  readonly size: number;
}

/** A blob is a regular file: what somebody put there as a link or a pipe is refused, and opening it never waits. */
export async function openBlobFile(path: string): Promise<BlobFile | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    if (isErrno(error, "ELOOP"))
      throw new ImageStoreError("store_invalid", `cannot open blob ${path}: not a regular file`);
    throw error;
  }
  const stat = await handle.stat();
  if (stat.isFile()) return { handle, size: stat.size };
  await handle.close();
  throw new ImageStoreError("store_invalid", `cannot open blob ${path}: not a regular file`);
}
