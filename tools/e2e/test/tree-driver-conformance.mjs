import assert from "node:assert/strict";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";

import { createCheckoutMounter, createSnapshotter, createTreeDriver } from "@lamella/snapshot/node";
import { snapshotterConformance } from "@lamella/snapshot/testing";

const run = Object.assign((name, body) => void it(name, body), { skip: (name, body) => void it.skip(name, body) });

snapshotterConformance(
  { describe: (name, body) => void describe(name, body), it: run },
  {
    name: "the tree driver",
    create: async (directory) => ({
      snapshotter: await createSnapshotter(directory, createTreeDriver()),
      mounter: createCheckoutMounter(),
    }),
  },
);

run("a checkout gives new files to the owner that is asked for", async () => {
  const directory = await mkdtemp(join(tmpdir(), "lamella-owner-"));
  const target = join(directory, "target");
  await mkdir(target);
  const snapshotter = await createSnapshotter(join(directory, "store"), createTreeDriver());
  const mounter = createCheckoutMounter({ owner: { uid: 12, gid: 34 } });
  const mounts = await snapshotter.prepare("key");
  await mounter.mount(mounts, target);
  await writeFile(join(target, "new"), "");
  await mounter.unmount(mounts, target);
  const tree = await snapshotter.openTree("key");
  const entry = await tree.lookup("new");
  await tree[Symbol.asyncDispose]();
  await snapshotter[Symbol.asyncDispose]();
  assert.deepEqual([entry?.uid, entry?.gid], [12, 34]);
});
