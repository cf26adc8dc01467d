export type { ArchiveSummary } from "./archive/footer.js";
export { type LayerArchive, readLayer } from "./archive/lookup.js";
export { inspectArchive, openLayer } from "./archive/reader.js";
export type { ArchivedEntry, LayerLookup } from "./archive/search.js";
export { verifyLayer } from "./archive/verify.js";
export { writeLayer, type WriteLayerOptions, type WrittenLayer } from "./archive/writer.js";
export {
  type Compression,
  decompress,
  type DecompressLimits,
  type DecompressOptions,
  DEFAULT_DECOMPRESS_LIMITS,
  detectCompression,
} from "./compression/decompress.js";
export { type DirectoryTreeOptions, openDirectoryTree } from "./directory/directory-tree.js";
export { packLayer, packTar, type LayerOutput, type PackedLayer, type PackLayerOptions } from "./blob/layer-pack.js";
export type { CompressOptions } from "./blob/pack-compression.js";
export {
  checkLayerBlob,
  type CheckLayerBlobOptions,
  checkTar,
  type CheckTarOptions,
  type LayerSummary,
} from "./blob/layer-check.js";
export { createLayerFile, type LayerFile, type LayerOutputFile, openLayerFile } from "./blob/layer-file.js";
export { createChunkSource, openTocLayer } from "./toc/chunk-source.js";
export { findToc, readToc, type ReadTocOptions } from "./toc/reader.js";
export {
  packEstargz,
  writeEstargz,
  type WriteEstargzOptions,
  type WriteEstargzTarOptions,
  type WrittenEstargz,
} from "./toc/estargz-writer.js";
export { openTarLayer, type TarLayer, type TarLayerOptions } from "./blob/tar-layer.js";
export { type VerifiedLayer, verifyLayerBlob, type VerifyLayerBlobOptions } from "./blob/layer-verify.js";
export { type Unpacked, type UnpackOptions, unpackTree, type UnpackTreeOptions } from "./unpack/unpack-tree.js";
export { unpackLayer } from "./unpack/unpack-layer.js";
