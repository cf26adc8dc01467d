import { openDirectoryTree } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";

import type { DiskFormat } from "./disk-plan.js";
import { planDisk } from "./disk-planner.js";
import { writeDisk } from "./disk-writer.js";

/**
 * Writes a directory of this machine as a disk, of the smallest size and with what Node can see: no extended attributes, no holes.
 * `output` is written as by {@link writeDisk}, a file atomically; the directory must not change meanwhile.
 *
 * @returns the disk's size in bytes
 * @throws {DiskExportError} as {@link planDisk} and {@link writeDisk}; {@link openDirectoryTree}'s errors pass as they are, `tree_changed`
 *   among them
 */
export async function exportRootfs(
  directory: string,
  output: string,
  format: DiskFormat,
  { signal }: CallOptions = {},
): Promise<number> {
  await using tree = await openDirectoryTree(directory, { signal });
  await using plan = await planDisk(tree, { format, signal });
  const { sizeBytes } = await writeDisk(plan, output, { signal });
  return sizeBytes;
}
