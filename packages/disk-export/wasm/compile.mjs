/** Prints `src/erofs/compression/lz4-module.ts`: the encoder, compiled. The same source and compiler give the same text. */
import { readFileSync } from "node:fs";

import asc from "assemblyscript/asc";

const SOURCE = "lz4-encoder.ts";
const OUTPUT = "lz4-encoder.wasm";
/** The memory has the pages that the source lays out. */
const OPTIONS = ["-O3", "--noAssert", "--runtime", "stub", "--initialMemory", "35"];

let compiled = new Uint8Array();
const { error } = await asc.main([SOURCE, "-o", OUTPUT, ...OPTIONS], {
  readFile: (name) => (name === SOURCE ? readFileSync(new URL(SOURCE, import.meta.url), "utf8") : null),
  writeFile: (_name, bytes) => {
    compiled = bytes;
  },
  listFiles: () => [],
  stderr: process.stderr,
});
if (error !== null) throw error;

const base64 = Buffer.from(compiled).toString("base64");
process.stdout.write(`/** \`wasm/lz4-encoder.ts\`, compiled by \`npm run wasm\`: WebAssembly in Base64. */
export const LZ4_MODULE: string =
${base64
  .match(/.{1,100}/g)
  .map((part) => `  "${part}"`)
  .join(" +\n")};
`);
