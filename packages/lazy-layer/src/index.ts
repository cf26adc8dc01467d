export type { BlobReader, BlobReadOptions, ReadPriority } from "./blob-reader.js";
export type { BlobSource } from "./blob/open-blob.js";
export { type BlobCache, type BlobCacheOptions, openBlobCache } from "./cache/blob-cache.js";
export { LazyLayerError, type LazyLayerErrorCode } from "./errors.js";
export { type LazyImage, type LazyImageOptions, type LazyImageSource, openLazyImage } from "./lazy-image.js";
export type { ChunkMemory } from "./chunk-memory.js";
export type { LazyBlob, LazyBlobInfo, ResolvedBlob } from "./lazy-blob.js";
export type { LazyLayer, LazyLayerInfo, WaitOptions } from "./lazy-layer.js";
export { openPlainIndexStore, type PlainIndexStore } from "./plain/index-store.js";
export { makePlainIndex, type PlainIndexOptions, type PlainLayerIdentity } from "./plain/make-index.js";
export { openPlainLayer, type PlainLayerOptions } from "./plain/plain-layer.js";
export {
  PLAIN_INDEX_TYPE,
  pushedPlainIndexes,
  type PushedIndexesOptions,
  pushPlainIndexes,
  type PushIndexesOptions,
} from "./plain/pushed-indexes.js";
export { verifyPlainIndex } from "./plain/verify-index.js";
export {
  createLayerResolver,
  type LayerResolver,
  type LayerResolverOptions,
  type ResolveLayerOptions,
} from "./resolver.js";
