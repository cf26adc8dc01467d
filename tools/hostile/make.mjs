#!/usr/bin/env node
/**
 * Writes the corpus: for each case a directory with an OCI layout, and `cases.json`, which says what each must get.
 *
 *   usage: node tools/hostile/make.mjs DIR
 */
import { mkdir } from "node:fs/promises";

import { hostileCases, writeCorpus } from "./dist/index.js";

const [directory, ...rest] = process.argv.slice(2);
if (directory === undefined || rest.length > 0) {
  console.error("usage: node tools/hostile/make.mjs DIR");
  process.exit(2);
}
await mkdir(directory, { recursive: true });
await writeCorpus(directory);
console.log(`${hostileCases.length} cases in ${directory}`);
