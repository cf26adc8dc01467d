import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { writeTar } from "@lamella/layer-format";
import { writeLayer } from "@lamella/layer-format/node";
import { memoryTree } from "@lamella/layer-format/testing";
import { baseKey, deriveKey, diffTrees, runOpKey } from "@lamella/snapshot";
import { openBuildCache } from "@lamella/snapshot/node";

const directory = await mkdtemp(join(tmpdir(), "build-cache-"));
const cache = await openBuildCache(join(directory, "cache"));
try {
  // the keys of a build: its base, and what is done to it step by step
  const digest = "sha256:2aaf6a0bd2c6d2d4e4b3e0e3a1b06f5e3a4b7b0f1c0e5c3d5b2d2f0e9a8b7c6d";
  const keys = [baseKey({ digest, platform: { os: "linux", architecture: "amd64" } })];
  for (const command of [["make", "deps"], ["make"], ["make", "install"]])
    keys.push(deriveKey(keys.at(-1), runOpKey({ command })));

  // an earlier build came as far as the second step
  const made = memoryTree([{ path: "program", content: "made\n" }]);
  const archive = join(directory, "archive");
  const { diffID } = await writeLayer(archive, writeTar(diffTrees(memoryTree([]), made)));
  await cache.save(keys[2], { layers: [diffID] }, { archive: async () => archive });

  const found = await cache.longestPrefix(keys);
  console.log(`goes on after step ${found.index}`);
  const tree = await cache.openTree(found.key);
  for await (const { path } of tree.entries()) console.log(`/${path}`);
  await tree[Symbol.asyncDispose]();
} finally {
  await cache[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
}
