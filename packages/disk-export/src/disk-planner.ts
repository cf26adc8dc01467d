import type { FileTree } from "@lamella/layer-format";

import { planCpio } from "./cpio/plan.js";
import type { CpioOptions } from "./cpio/plan.js";
import { requireEnvelope, wrapPlan } from "./disk-envelope.js";
import type { ArchiveOptions, VolumeOptions } from "./disk-envelope.js";
import type { DiskPlan } from "./disk-plan.js";
import { planErofs } from "./erofs/plan.js";
import type { ErofsOptions } from "./erofs/plan.js";
import { DiskExportError } from "./errors.js";
import { planExt4 } from "./ext4/plan.js";
import type { Ext4Options } from "./ext4/plan.js";
import { planTar } from "./tar/plan.js";
import type { TarOptions } from "./tar/plan.js";

/** A format, its own options, and what goes around the disk. */
export type PlanDiskOptions =
  | ({ format: "ext4" } & Ext4Options & VolumeOptions)
  | ({ format: "erofs" } & ErofsOptions & VolumeOptions)
  | ({ format: "cpio" } & CpioOptions & ArchiveOptions)
  | ({ format: "tar" } & TarOptions & ArchiveOptions);

/**
 * Plans a disk of any format, by {@link planExt4}, {@link planErofs}, {@link planCpio} or {@link planTar}, and around it, where asked for, a hash tree, a
 * partition table, gzip or padding.
 *
 * With `verity` and `compression` planning reads all data; without, the entries alone.
 *
 * @throws {DiskExportError} `option_invalid` for another format and for options that do not go together, `unsupported` for an
 *   architecture without a type of root partition, and what the format's own function throws
 */
export async function planDisk(tree: FileTree, options: PlanDiskOptions): Promise<DiskPlan> {
  options.signal?.throwIfAborted();
  requireEnvelope(options);
  return wrapPlan(await planFormat(tree, options), tree, options);
}

function planFormat(tree: FileTree, options: PlanDiskOptions): Promise<DiskPlan> {
  switch (options.format) {
    case "ext4":
      return planExt4(tree, options);
    case "erofs":
      return planErofs(tree, options);
    case "cpio":
      return planCpio(tree, options);
    case "tar":
      return planTar(tree, options);
    default: {
      const { format } = options satisfies never as { format: unknown };
      throw new DiskExportError(
        "option_invalid",
        `cannot plan a disk of format ${JSON.stringify(format)}: not ext4, erofs, cpio or tar`,
      );
    }
  }
}
