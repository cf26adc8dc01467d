export type {
  BlobPiece,
  BlobRange,
  CallOptions,
  Fetcher,
  ImageSource,
  Pusher,
  RangeFetcher,
  Resolver,
} from "./capabilities.js";
export type { Descriptor } from "./descriptor.js";
export {
  createDigester,
  type Digest,
  type DigestAlgorithm,
  digestAlgorithm,
  type Digester,
  digestHex,
  digestOf,
  isDigest,
  parseDigest,
} from "./digest.js";
export { LamellaError, RefsError, type RefsErrorCode } from "./errors.js";
export { type HistoryEntry, type ImageConfig, pairLayers, parseImageConfig, type RunConfig } from "./image-config.js";
export {
  detectMediaType,
  type Index,
  type Manifest,
  MAX_INDEX_MANIFESTS,
  MAX_LAYERS,
  parseIndex,
  parseManifest,
} from "./image-manifest.js";
export { MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH } from "./json-document.js";
export {
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_LAYER_TAR,
  DOCKER_LAYER_ZSTD,
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  isConfigType,
  isDocumentType,
  isIndexType,
  isLayerType,
  isManifestType,
  isNondistributableType,
  layerCompression,
  type LayerCompression,
  OCI_CONFIG,
  OCI_EMPTY,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_LAYER_TAR,
  OCI_LAYER_ZSTD,
  OCI_MANIFEST,
} from "./media-types.js";
export { hostPlatform, normalizePlatform, type Platform } from "./platform.js";
export { matchPlatform, selectPlatform } from "./platform-match.js";
export { formatPlatform, parsePlatform } from "./platform-specifier.js";
export { quote } from "./quotation.js";
export {
  familiarReference,
  formatReference,
  isTag,
  MAX_PATH_LENGTH,
  MAX_TAG_LENGTH,
  parseReference,
  type Reference,
  withDefaultTag,
} from "./reference.js";
export { type ResolvedReference, resolveReference } from "./resolve.js";
export { collectContent, verifyContent } from "./verify.js";
