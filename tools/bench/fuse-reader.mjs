/** Uses a directory as a program does: `node fuse-reader.mjs DIRECTORY`. Prints what it got as JSON: stats a second, small files a second, MB a second. */
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";

import { BIG_FILE, smallFiles } from "./fuse-files.mjs";

const [, , directory] = process.argv;

function perSecond(count, work) {
  const started = performance.now();
  work();
  return Math.round((1000 * count) / (performance.now() - started));
}

const names = smallFiles().map((name) => join(directory, name));
const stats = perSecond(names.length, () => {
  for (const name of names) statSync(name);
});
const files = perSecond(names.length, () => {
  for (const name of names) readFileSync(name);
});

const buffer = Buffer.alloc(1 << 20);
const fd = openSync(join(directory, BIG_FILE));
const { size } = statSync(join(directory, BIG_FILE));
const megabytes = perSecond(size / 1e6, () => {
  while (readSync(fd, buffer) > 0);
});
closeSync(fd);
console.log(JSON.stringify({ stats, files, megabytes }));
