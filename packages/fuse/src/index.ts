export { FuseError, type FuseErrorCode } from "./errors.js";
export { type LayerMounts, mountLayers, type MountLayersOptions } from "./mount-layers.js";
export {
  type FuseMount,
  type FuseStats,
  mountTree,
  type MountTreeOptions,
  STATE_FILE_NAME,
  type Unmounting,
} from "./mount-tree.js";
export type { ReadStats } from "./server/call-server.js";
export type { StateFile } from "./server/state-files.js";
