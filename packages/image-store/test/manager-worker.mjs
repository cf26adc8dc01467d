// A process of its own that builds images of a store, one at a time: `node manager-worker.mjs STORE SOURCE POINT NAME…`. When a phase of the
// first begins, or ends ("convert-end"), and that is POINT, it says so and stands still. Otherwise it ends when all is ready.
import { writeSync } from "node:fs";

import { createImageManager, openImageStore } from "../dist/index.js";

const [directory, sourceDirectory, point, ...names] = process.argv.slice(2);
const store = await openImageStore(directory);
const source = await openImageStore(sourceDirectory);
let allAsked = () => {};
const asked = new Promise((resolve) => (allAsked = resolve));
/** By digest, as builds do, only once all names wait in the queue. */
const images = {
  fetch: source.fetch,
  async resolve(name, call) {
    if (name.startsWith("sha256:")) await asked;
    return source.resolve(name, call);
  },
};
const manager = await createImageManager(store, {
  concurrency: { builds: 1 },
  sources: async (name) => ({ images, name, close: async () => {} }),
  hooks: {
    onPhase({ phase, name }) {
      if (name !== names[0]) return undefined;
      standStillAt(phase);
      return () => standStillAt(`${phase}-end`);
    },
  },
});
const platform = { os: "linux", architecture: "amd64" };
for (const name of names) await manager.createImage(name, { platform, disk: { format: "erofs" } });
allAsked();
for (const name of names) await manager.waitForReady(name);
await manager[Symbol.asyncDispose]();
for (const each of [store, source]) await each[Symbol.asyncDispose]();

function standStillAt(where) {
  if (where !== point) return;
  writeSync(1, `at ${point}\n`);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
