import type { FileTree } from "@lamella/layer-format";

import { planCpio } from "./cpio/plan.js";
import type { CpioOptions } from "./cpio/plan.js";
import type { DiskPlan } from "./disk-plan.js";
import { planErofs } from "./erofs/plan.js";
import type { ErofsOptions } from "./erofs/plan.js";
import { DiskExportError } from "./errors.js";
import { planExt4 } from "./ext4/plan.js";
import type { Ext4Options } from "./ext4/plan.js";

/** A format and its own options. */
export type PlanDiskOptions =
  | ({ format: "ext4" } & Ext4Options)
  | ({ format: "erofs" } & ErofsOptions)
  | ({ format: "cpio" } & CpioOptions);

/**
 * Plans a disk of any format: {@link planExt4}, {@link planErofs} or {@link planCpio}.
 * @throws {DiskExportError} `option_invalid` for another format, and what the format's own function throws
 */
export async function planDisk(tree: FileTree, options: PlanDiskOptions): Promise<DiskPlan> {
  switch (options.format) {
    case "ext4":
      return planExt4(tree, options);
    case "erofs":
      return planErofs(tree, options);
    case "cpio":
      return planCpio(tree, options);
    default: {
      const { format } = options satisfies never as { format: unknown };
      throw new DiskExportError(
        "option_invalid",
        `cannot plan a disk of format ${JSON.stringify(format)}: not ext4, erofs or cpio`,
      );
    }
  }
}
