import { constants, open, readFile } from "node:fs/promises";

import type { DiskPlan } from "./disk-plan.js";
import { writeDiskTo } from "./disk-stream.js";
import type { WriteDiskOptions, WrittenDisk } from "./disk-stream.js";
import { DiskExportError } from "./errors.js";
import { asWriteFailure, writeAt } from "./system-write.js";

const SECTOR_BYTES = 512;

/**
 * Writes a block device in place, zeros included, if nothing else holds it and the disk fits. What lies beyond the disk is left.
 * @throws {DiskExportError} `size_too_small`, `write_failed`
 */
export async function writeBlockDevice(
  plan: DiskPlan,
  path: string,
  device: bigint,
  options: WriteDiskOptions,
): Promise<WrittenDisk> {
  const failed = asWriteFailure(path);
  const sizeBytes = await blockDeviceSize(device).catch(failed);
  if (sizeBytes < plan.sizeBytes) {
    throw new DiskExportError(
      "size_too_small",
      `cannot write disk to ${path}: the device has ${sizeBytes} bytes, the disk ${plan.sizeBytes}`,
    );
  }
  // On a block device O_EXCL refuses one that is mounted.
  const handle = await open(path, constants.O_WRONLY | constants.O_EXCL).catch(failed);
  try {
    const written = await writeDiskTo(plan, (bytes) => writeAt(handle, bytes, null).catch(failed), options);
    await handle.sync().catch(failed);
    return written;
  } finally {
    await handle.close();
  }
}

/** Writes to `/dev/null`, a terminal and the like. */
export async function writeCharDevice(plan: DiskPlan, path: string, options: WriteDiskOptions): Promise<WrittenDisk> {
  const failed = asWriteFailure(path);
  const handle = await open(path, constants.O_WRONLY).catch(failed);
  try {
    return await writeDiskTo(plan, (bytes) => writeAt(handle, bytes, null).catch(failed), options);
  } finally {
    await handle.close();
  }
}

/** In bytes. */
export async function blockDeviceSize(device: bigint): Promise<number> {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return SECTOR_BYTES * Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, "utf8"));
}
