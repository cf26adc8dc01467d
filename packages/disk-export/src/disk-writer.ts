import { realpath, stat } from "node:fs/promises";

import { writeBlockDevice, writeCharDevice } from "./disk-device.js";
import { writeDiskFile } from "./disk-file.js";
import { writeFifo, writeStandardOutput } from "./disk-pipe.js";
import type { DiskPlan } from "./disk-plan.js";
import type { WriteDiskOptions, WrittenDisk } from "./disk-stream.js";
import { DiskExportError } from "./errors.js";
import { asWriteFailure } from "./system-write.js";

/**
 * Writes a disk to a path.
 *
 * - A new or a regular file: sparse, and atomic. It is written beside `path` (`.<name>.<random>.tmp`), synced and renamed over it, so that `path`
 *   is the whole new file or what it was before. On an error or an abort nothing is left. Symlinks are followed.
 * - A block device: in place, holes as zeros; it must not be in use and must be large enough.
 * - A FIFO, a character device, or `-` for standard output: streamed, holes as zeros.
 *
 * @throws {DiskExportError} `write_failed` with the system's error as `cause`; `size_too_small` for a block device. What reading the plan throws is
 *   passed on, as is `signal.reason`.
 */
export async function writeDisk(plan: DiskPlan, path: string, options: WriteDiskOptions = {}): Promise<WrittenDisk> {
  options.signal?.throwIfAborted();
  if (path === "-") return writeStandardOutput(plan, options);
  const failed = asWriteFailure(path);
  const found = await stat(path, { bigint: true }).catch(missing).catch(failed);
  if (found === undefined) return writeDiskFile(plan, path, options);
  if (found.isBlockDevice()) return writeBlockDevice(plan, path, found.rdev, options);
  if (found.isCharacterDevice()) return writeCharDevice(plan, path, options);
  if (found.isFIFO()) return writeFifo(plan, path, options);
  if (found.isFile()) return writeDiskFile(plan, await realpath(path).catch(failed), options);
  const kind = found.isDirectory() ? "a directory" : "a socket";
  throw new DiskExportError("write_failed", `cannot write disk to ${path}: it is ${kind}`);
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}
