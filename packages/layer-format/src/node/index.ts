export { openLayer } from "./layer-archive-reader.js";
export { writeLayer, type WriteLayerOptions, type WrittenLayer } from "./layer-archive-writer.js";
