export { type CpioOptions, planCpio } from "./cpio-plan.js";
export type { DiskFormat, DiskPlan, Loss, Segment } from "./disk-plan.js";
export { type DiskSink, writeDiskTo, type WriteDiskOptions, type WrittenDisk } from "./disk-stream.js";
export { writeDisk } from "./disk-writer.js";
export { type ErofsOptions, planErofs } from "./erofs-plan.js";
export { DiskExportError, type DiskExportErrorCode } from "./errors.js";
