import { mergeLayers } from "@lamella/layer-format";

import type { WriteDiskOptions, WrittenDisk } from "../disk-stream.js";
import { writeDisk } from "../disk-writer.js";
import { planExt4 } from "./plan.js";
import type { Ext4Options } from "./plan.js";

/** All of {@link planExt4}'s but sizes, and {@link writeDisk}'s. */
export type EmptyExt4Options = Omit<Ext4Options, "sizeBytes" | "freeBytes"> & WriteDiskOptions;

/**
 * Makes an ext4 disk of `sizeBytes` with nothing on it but `/lost+found`: sparse, and in seconds whatever its size up to 16 TiB.
 *
 * The root directory belongs to root, with mode 0755. Without a `uuid` all empty disks have the same: give one where a machine has several.
 *
 * @throws {DiskExportError} what {@link planExt4} and {@link writeDisk} throw
 */
export async function createEmptyExt4Disk(
  path: string,
  sizeBytes: number,
  options: EmptyExt4Options = {},
): Promise<WrittenDisk> {
  options.signal?.throwIfAborted();
  await using tree = await mergeLayers([], { signal: options.signal });
  await using plan = await planExt4(tree, { ...options, sizeBytes });
  return await writeDisk(plan, path, options);
}
