/** Writes the diff of the snapshot `active` of a directory of snapshots into a file: one round of `snapshots.mjs`. */
import { createLayerFile } from "@lamella/layer-format/node";
import { createSnapshotter, createTreeDriver, diffSnapshot } from "@lamella/snapshot/node";

const [directory, path] = process.argv.slice(2);
const snapshotter = await createSnapshotter(directory, createTreeDriver());
const file = await createLayerFile(path);
await diffSnapshot(snapshotter, "active", file);
await file.commit();
await snapshotter[Symbol.asyncDispose]();
