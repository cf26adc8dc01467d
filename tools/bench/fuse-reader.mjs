/**
 * Uses a directory as a program does: `node fuse-reader.mjs DIRECTORY`. Prints what it got as JSON: stats a second, small files a second, MB a second.
 * `node fuse-reader.mjs DIRECTORY LANES`: stats a second of so many threads at once.
 */
import { once } from "node:events";
import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

import { BIG_FILE, smallFiles } from "./fuse-files.mjs";

const [, , directory, lanes] = process.argv;
const names = smallFiles().map((name) => join(directory, name));

async function perSecond(count, work) {
  const started = performance.now();
  await work();
  return Math.round((1000 * count) / (performance.now() - started));
}

async function useAlone() {
  const stats = await perSecond(names.length, () => {
    for (const name of names) statSync(name);
  });
  const files = await perSecond(names.length, () => {
    for (const name of names) readFileSync(name);
  });

  const buffer = Buffer.alloc(1 << 20);
  const fd = openSync(join(directory, BIG_FILE));
  const { size } = statSync(join(directory, BIG_FILE));
  const megabytes = await perSecond(size / 1e6, () => {
    while (readSync(fd, buffer) > 0);
  });
  closeSync(fd);
  return { stats, files, megabytes };
}

async function useTogether(count) {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from({ length: count }, (_, lane) => {
    const own = names.filter((_name, at) => at % count === lane);
    return new Worker(new URL("fuse-lane.mjs", import.meta.url), { workerData: { names: own, gate } });
  });
  await Promise.all(workers.map((worker) => once(worker, "message")));
  const together = await perSecond(names.length, async () => {
    const ends = workers.map((worker) => once(worker, "exit"));
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    await Promise.all(ends);
  });
  return { together };
}

console.log(JSON.stringify(await (lanes === undefined ? useAlone() : useTogether(Number(lanes)))));
