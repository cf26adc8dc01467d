export { openLayer } from "./layer-archive-reader.js";
export { writeLayer, type WriteLayerOptions, type WrittenLayer } from "./layer-archive-writer.js";
export {
  type Compression,
  decompress,
  type DecompressLimits,
  type DecompressOptions,
  DEFAULT_DECOMPRESS_LIMITS,
  detectCompression,
} from "./compression.js";
