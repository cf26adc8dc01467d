import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import { SUPERBLOCK_MAGIC as EROFS_MAGIC, SUPERBLOCK_OFFSET as EROFS_OFFSET } from "../erofs/layout.js";
import { readErofs } from "../erofs/reading/reader.js";
import { DiskExportError } from "../errors.js";
import { SUPERBLOCK, SUPERBLOCK_MAGIC as EXT4_MAGIC, SUPERBLOCK_OFFSET as EXT4_OFFSET } from "../ext4/layout.js";
import { readExt4 } from "../ext4/reading/reader.js";
import { isInside, viewOf } from "./metadata.js";
import { readPartitions } from "./partitions.js";
import { openDiskFile, readBytes } from "./source.js";
import type { DiskSource } from "./source.js";

type Reader = typeof readExt4;

/**
 * Opens a disk in a file or on a block device as a tree: ext4 (ext2 and ext3 too) or EROFS, found by what is there, or the first such
 * partition of a disk with a GUID partition table. Closing the tree closes the file. The disk must not change while it is in use.
 *
 * @throws {DiskExportError} `unsupported` where nothing on it can be read; what `openExt4` and `openErofs` throw. Errors of the file
 * system pass as they are.
 */
export async function openDisk(path: string, options: CallOptions = {}): Promise<FileTree> {
  const file = await openDiskFile(path, options);
  try {
    const { read, source } = await findReader(path, file, options);
    return await read(source, { ...options, close: async () => file[Symbol.asyncDispose]() });
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
}

async function findReader(
  path: string,
  source: DiskSource,
  options: CallOptions,
): Promise<{ read: Reader; source: DiskSource }> {
  const read = await detect(source, options);
  if (read !== undefined) return { read, source };
  const partitions = await readPartitions(source, options);
  for (const partition of partitions ?? []) {
    const found = await detect(partition, options);
    if (found !== undefined) return { read: found, source: partition };
  }
  const what = partitions === undefined ? "neither ext4 nor EROFS" : "no partition of ext4 or EROFS";
  throw new DiskExportError("unsupported", `cannot read ${path}: ${what}`);
}

async function detect(source: DiskSource, options: CallOptions): Promise<Reader | undefined> {
  if (await hasNumber(source, EROFS_OFFSET, EROFS_MAGIC, options)) return readErofs;
  const isExt4 = await hasNumber(source, EXT4_OFFSET + SUPERBLOCK.magic, EXT4_MAGIC, options);
  return isExt4 ? readExt4 : undefined;
}

/** Of 32 bits, or of 16 where the number fits in those. */
async function hasNumber(source: DiskSource, offset: number, number: number, options: CallOptions): Promise<boolean> {
  const length = number > 0xffff ? 4 : 2;
  if (!isInside(source.sizeBytes, offset, length)) return false;
  const view = viewOf(await readBytes(source, offset, length, options));
  return (length === 4 ? view.getUint32(0, true) : view.getUint16(0, true)) === number;
}
