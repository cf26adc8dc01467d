export { type CpioOptions, planCpio } from "./cpio/plan.js";
export type { DiskFormat, DiskPlan, Segment } from "./disk-plan.js";
export type { ArchiveOptions, EnvelopeOptions, VolumeOptions } from "./disk-envelope.js";
export { planDisk, type PlanDiskOptions } from "./disk-planner.js";
export { type DiskSink, writeDiskTo, type WriteDiskOptions, type WrittenDisk } from "./disk-stream.js";
export { writeDisk } from "./disk-writer.js";
export { planErofsIndex, type TarContents } from "./erofs/layers/index-plan.js";
export {
  type ErofsLayerOptions,
  type ErofsLayerPlan,
  planErofsLayer,
  planErofsLayers,
} from "./erofs/layers/layer-plan.js";
export type { Loss, OverlayXattrs } from "@lamella/layer-format";
export { planErofsMerge } from "./erofs/layers/merge-plan.js";
export { type ErofsOptions, planErofs } from "./erofs/plan.js";
export { openErofs } from "./erofs/reading/reader.js";
export type { ErofsReferenceOptions } from "./erofs/layers/reference-plan.js";
export { DiskExportError, type DiskExportErrorCode } from "./errors.js";
export { createEmptyExt4Disk, type EmptyExt4Options } from "./ext4/empty-disk.js";
export { type Ext4Options, planExt4 } from "./ext4/plan.js";
export { openExt4 } from "./ext4/reading/reader.js";
export { exportRootfs } from "./export-rootfs.js";
export { isSystemdImage } from "./systemd-image.js";
export { planTar, type TarOptions } from "./tar/plan.js";
export { type Verity, type VerityDevice, verityKernelArguments } from "./verity/verity.js";
export { openDisk } from "./reading/open-disk.js";
export type { DiskSource } from "./reading/source.js";
