import type { FileHandle } from "node:fs/promises";

import { DiskExportError } from "./errors.js";

/** A system's error, as what it means for the disk that goes to `path`. */
export function writeFailure(path: string, error: unknown): DiskExportError {
  const state = error instanceof Error ? error.message : String(error);
  return new DiskExportError("write_failed", `cannot write disk to ${path}: ${state}`, { cause: error });
}

/** For `catch`: rejects with {@link writeFailure}. */
export function asWriteFailure(path: string): (error: unknown) => never {
  return (error) => {
    throw writeFailure(path, error);
  };
}

/** All of `bytes`; at the handle's own position where no offset is given. */
export async function writeAt(handle: FileHandle, bytes: Uint8Array, offset: number | null): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(
      bytes,
      done,
      bytes.length - done,
      offset === null ? null : offset + done,
    );
    if (bytesWritten === 0) throw new Error("the system takes no more bytes, and does not say why");
    done += bytesWritten;
  }
}
