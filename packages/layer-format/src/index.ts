export { bytesToByteString, byteString, byteStringToBytes } from "./byte-string.js";
export { displayPath } from "./display-path.js";
export { LayerFormatError, type LayerFormatErrorCode } from "./errors.js";
export type { Attributes, Content, Entry, Extent, FileKind, FileTree, ReadOptions } from "./file-tree.js";
export type { Layer, LayerEntry, LayerEntryKind } from "./layer.js";
export { mergeLayers, type MergeOptions } from "./merge/merge.js";
export type { InodeOrigin, LayeredTree } from "./merge/merged-tree.js";
export {
  type HistoryEntry,
  type HistoryOptions,
  type LayerHistory,
  type ListOptions,
  traceLayers,
} from "./merge/layer-history.js";
export type { FileTotal, LayerTotals } from "./merge/layer-totals.js";
export { layerFromOverlay, type OverlayLayerOptions } from "./overlay/overlay-layer.js";
export type { OverlayXattrs } from "./overlay/marks.js";
export { type OverlayTree, overlayTree, type OverlayTreeOptions, overlayTrees } from "./overlay/overlay-tree.js";
export { MERGE_LIMITS, type MergeLimits } from "./merge/state.js";
export { resolvePath } from "./resolve-path.js";
export { createLayerReader, type LayerReader, type LayerReaderOptions, type LayerSink } from "./tar/layer-reader.js";
export { createLossCollector, type Loss, type LossCollector } from "./losses.js";
export { DEFAULT_LAYER_LIMITS, type LayerLimits } from "./limits.js";
export { planTarEntry, type TarData, type TarEntryInput, type TarEntryPlan } from "./tar/head.js";
export { clampTime, tarInputOf, tarLinkTo } from "./tar/tree-entry.js";
export { type TarInput, writeTar } from "./tar/writer.js";
export {
  attributeAspects,
  compareTrees,
  type CompareTreesOptions,
  ENTRY_ASPECTS,
  type EntryAspect,
  isSameContent,
  type OpenEntry,
  type TreeDifference,
} from "./tree-comparison.js";
export { createTreeLayer, type LayerDraft } from "./tree-layer.js";
export { type TreePair, walkTrees } from "./tree-walk.js";
export { DEFAULT_TOC_LIMITS, type TocLimits } from "./toc/document.js";
export { layerFromToc, type TocLayerOptions } from "./toc/layer.js";
export { type TocVerification, verifyToc, type VerifyTocOptions } from "./toc/verify.js";
export type { ChunkSource, LayerToc, TocChunk, TocFormat } from "./toc/toc.js";
export { createZstdFrameReader, type ZstdFrameReader, type ZstdFrameSink } from "./zstd-frames.js";
