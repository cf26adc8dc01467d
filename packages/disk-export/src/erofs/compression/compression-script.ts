import { createLz4Encoder } from "./lz4-encoder.js";
import { LZ4_MODULE } from "./lz4-module.js";
import { createUnitCompressor } from "./unit-compressor.js";

/**
 * What a compressing thread runs: the text of self-contained functions, so that no file has to be found beside a package, in a bundle or
 * under a test runner.
 */
export function compressionScript(): string {
  return `"use strict";
const { parentPort } = require("node:worker_threads");
const encoder = (${createLz4Encoder.toString()})("${LZ4_MODULE}");
const compress = (${createUnitCompressor.toString()})(encoder, require("node:zlib"));
parentPort.on("message", (job) => {
  try {
    const result = compress(job);
    parentPort.postMessage({ result }, [result.input, result.output]);
  } catch (error) {
    parentPort.postMessage({ error });
  }
});`;
}
