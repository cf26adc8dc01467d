import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { writeTar } from "@lamella/layer-format";
import { memoryTree } from "@lamella/layer-format/testing";
import { diffTrees } from "@lamella/snapshot";
import { createCheckoutMounter, createSnapshotter, createTreeDriver } from "@lamella/snapshot/node";

const directory = await mkdtemp(join(tmpdir(), "snapshots-"));
const snapshotter = await createSnapshotter(join(directory, "store"), createTreeDriver());
const mounter = createCheckoutMounter();
try {
  // a layer's tar becomes a committed snapshot
  const layer = memoryTree([{ path: "etc/hostname", content: "base\n" }]);
  await snapshotter.prepare("unpacking");
  const { diffID } = await snapshotter.apply("unpacking", writeTar(diffTrees(memoryTree([]), layer)));
  await snapshotter.commit(diffID, "unpacking", { labels: { from: "an example" } });

  // what is changed through its mounts becomes the next one
  const mounts = await snapshotter.prepare("working", diffID);
  const target = await mkdtemp(join(directory, "target-"));
  await mounter.mount(mounts, target);
  console.log(await readFile(join(target, "etc/hostname"), "utf8")); // base
  await writeFile(join(target, "etc/hostname"), "changed\n");
  await mounter.unmount(mounts, target);
  await snapshotter.commit("changed", "working");

  for await (const { name, kind, parent } of snapshotter.walk()) console.log(name, kind, parent);
} finally {
  await snapshotter[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
}
