export { compareTrees, describeDifferences, lostAndFound } from "./compare-trees.js";
export type {
  CompareOptions,
  Comparison,
  Difference,
  DifferenceField,
  IgnoreRule,
  TreeListing,
} from "./compare-trees.js";
export { listTree } from "./list-tree.js";
export { comparePaths, displayBytes } from "./tree-record.js";
export type { TreeRecord, TreeRecordType } from "./tree-record.js";
export { OracleError } from "./errors.js";
export type { OracleErrorCode } from "./errors.js";
export { have, missing, OPEN_CHECKOUT, requireTool } from "./requirements.js";
export { runCommand } from "./command.js";
export type { CallOptions, CommandOptions, CommandResult } from "./command.js";
export type { LayoutImage } from "./layout-image.js";
export { mountImage, withMount } from "./mount.js";
export type { MountSource } from "./mount.js";
export { unpackWithUmoci } from "./unpack-umoci.js";
export { mountLayers, unpackWithContainerd } from "./unpack-containerd.js";
export { withContainerd } from "./containerd.js";
export type { Containerd } from "./containerd.js";
export {
  containerdClampsTime,
  containerdDifferences,
  rootTimeOfUnpacking,
  umociDifferences,
  umociDropsEmptyXattr,
  withUnpackedTree,
} from "./unpacked-tree.js";
export type { Unpacker, UnpackedTreeOptions } from "./unpacked-tree.js";
export { dumpe2fs, e2fsck, fsckErofs } from "./fsck.js";
export type { FsckReport } from "./fsck.js";
export { newerErofs } from "./newer-erofs.js";
export type { NewerErofs } from "./newer-erofs.js";
export { cpioCannotHold, createCpio, extractCpio } from "./cpio.js";
export { debianKernel } from "./debian-kernel.js";
export type { Kernel } from "./debian-kernel.js";
export { bootDisk } from "./boot-disk.js";
export type { BootReport, BootRequest, LoggedDisk } from "./boot-disk.js";
export { copyProgram } from "./initramfs.js";
export { listTarsWithGo } from "./go-tar.js";
export type { GoTarListing, GoTarRecord } from "./go-tar.js";
export { listTarWithGnu } from "./gnu-tar.js";
export type { GnuTarListing, GnuTarRecord } from "./gnu-tar.js";
export { lazyImageNeeds, withLazyImage } from "./lazy-image.js";
export type { LazyImage, LazyImageOptions } from "./lazy-image.js";
