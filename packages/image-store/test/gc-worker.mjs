// A process of its own that shares a store with the tests: `node gc-worker.mjs STORE TASK [COUNT] [SOURCE]`. It says "ready" when it is where
// the task says, and what it found at its end.
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { openImageStore, openImageTree, pullImage } from "../dist/index.js";

const [directory, task, count, sourceDirectory] = process.argv.slice(2);
const platform = { os: "linux", architecture: "amd64" };
const store = await openImageStore(directory);

const tasks = {
  /** Collects garbage again and again, with no grace at all. */
  async gc() {
    let removed = 0;
    for (let at = 0; at < Number(count); at++) removed += (await store.gc({ graceMs: 0 })).removed.length;
    say(`removed ${removed}`);
  },
  /** Checks again and again; others at work are nothing wrong. */
  async check() {
    for (let at = 0; at < Number(count); at++) {
      for await (const finding of store.check()) throw new Error(JSON.stringify(finding));
    }
  },
  /** Pulls images that share layers, reads them, gives them other names and removes them; what it has just pulled must be whole. */
  async pull() {
    const source = await openImageStore(sourceDirectory);
    const names = (await source.tags()).map(({ name }) => name);
    for (let at = 0; at < Number(count); at++) {
      const theirs = names[(at + process.pid) % names.length];
      const own = `${theirs}-${process.pid}`;
      const image = await pullImage(store, source, theirs, { platform, name: own });
      await store.tag(`${own}-too`, own);
      await store.remove(own);
      await sleep(Math.random() * 20);
      await requireWhole(image);
      const tree = await openImageTree(store.content, image);
      for await (const entry of tree.entries()) {
        if (entry.kind === "file") for await (const chunk of tree.read(entry)) void chunk;
      }
      await tree[Symbol.asyncDispose]();
      await store.remove(`${own}-too`);
    }
    await source[Symbol.asyncDispose]();
  },
  /** Holds what a lease of the source names until it is killed. */
  async hold() {
    await store.lease("hold", [{ kind: "blob", ref: count }], async () => {
      say("ready");
      await sleep(60_000);
    });
  },
};
await tasks[task]();
await store[Symbol.asyncDispose]();

async function requireWhole({ root, descriptor, manifest }) {
  for (const { digest, size } of [root, descriptor, manifest.config, ...manifest.layers]) {
    const found = await store.content.stat(digest);
    if (found !== size) throw new Error(`${digest} has ${found} of ${size} bytes though a name leads to it`);
  }
}

function say(line) {
  writeSync(1, `${line}\n`);
}
