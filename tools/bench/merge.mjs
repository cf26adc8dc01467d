/** `npm run bench merge`: 1,000,000 entries in 100 layers, from their tars to a tree that has been walked. */
import { mergeLayers, createLayerReader } from "@lamella/layer-format";

import { fileHeader } from "./made-tars.mjs";

const LAYERS = 100;
const ENTRIES = 10_000;

const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MB`;

/** Layers of packages: a tenth of the names replace what a lower layer has, the others are new. */
function readLayer(number) {
  const entries = [];
  const reader = createLayerReader({ entry: (entry) => entries.push(entry), contents: () => {} });
  for (let at = 0; at < ENTRIES; at++) {
    const id = at % 10 === 0 && number > 0 ? at : number * ENTRIES + at;
    reader.push(fileHeader(`usr/lib/node_modules/package-${id >> 5}/lib/file-${id}.js`, 0));
  }
  reader.end();
  return {
    diffID: `sha256:${String(number).padStart(64, "0")}`,
    entries,
    async *readContents() {},
    async [Symbol.asyncDispose]() {},
  };
}

export async function benchMerge() {
  const layers = Array.from({ length: LAYERS }, (_, number) => readLayer(number));
  const before = process.memoryUsage.rss();
  const started = performance.now();
  const tree = await mergeLayers(layers);
  const merged = performance.now();
  let names = 0;
  for await (const entry of tree.entries()) names += entry.path === "" ? 0 : 1;
  const walked = performance.now();
  const times = `merge ${((merged - started) / 1000).toFixed(2)} s, walk ${((walked - merged) / 1000).toFixed(2)} s`;
  const peak = megabytes(process.resourceUsage().maxRSS * 1024);
  console.log(`${LAYERS * ENTRIES} entries in ${LAYERS} layers to ${names} names: ${times}`);
  console.log(`memory: ${megabytes(before)} with the layers' indexes, at most ${peak}`);
}
