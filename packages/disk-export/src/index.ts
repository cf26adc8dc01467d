export { type CpioOptions, planCpio } from "./cpio/plan.js";
export type { DiskFormat, DiskPlan, Loss, Segment } from "./disk-plan.js";
export { planDisk, type PlanDiskOptions } from "./disk-planner.js";
export { type DiskSink, writeDiskTo, type WriteDiskOptions, type WrittenDisk } from "./disk-stream.js";
export { writeDisk } from "./disk-writer.js";
export { type ErofsOptions, planErofs } from "./erofs/plan.js";
export { DiskExportError, type DiskExportErrorCode } from "./errors.js";
export { type Ext4Options, planExt4 } from "./ext4/plan.js";
