export type { Applier, ApplyLayerOptions, ApplyLayersOptions, DescribedLayer } from "./apply.js";
export { baseKey, copyOpKey, deriveKey, runOpKey, snapshotOpKey } from "./cache-key.js";
export type { CacheBase, CopyOperation, CopySource, RunOperation, SnapshotKeyOptions } from "./cache-key.js";
export { chainID, chainIDs } from "./chain-id.js";
export { openChain } from "./chain.js";
export type { OpenChainOptions } from "./chain.js";
export { diffTrees } from "./diff/diff-trees.js";
export type { DiffOptions } from "./diff/diff-trees.js";
export { SnapshotError } from "./errors.js";
export type { SnapshotErrorCode } from "./errors.js";
export type { ImageDocument } from "./image-documents.js";
export type { SnapshotDriver, SnapshotPlace } from "./driver.js";
export type { Mount, Mounter } from "./mount.js";
export type { BuildCache, CachedPrefix, CachedSnapshot, SaveOptions, SnapshotManifest } from "./snapshot-manifest.js";
export type {
  AppliedLayer,
  ApplyOptions,
  CommitOptions,
  Labels,
  SnapshotInfo,
  SnapshotKind,
  SnapshotOptions,
  Snapshotter,
  Usage,
  WalkOptions,
} from "./snapshotter.js";
