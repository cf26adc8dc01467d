import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parseImageConfig, parseManifest } from "@lamella/refs";
import { expect, it } from "vitest";

import { openContentStore } from "../src/content-store.js";
import { fetchLayer } from "../src/layer-fetch.js";
import { layerDirectory } from "../src/pull.js";
import { sampleSource } from "./sample-image.js";

it("fetchLayer() stores the whole blob of a layer whose archive another pull has made meanwhile", async () => {
  const directory = mkdtempSync(join(tmpdir(), "image-store-"));
  try {
    const source = await sampleSource();
    const { config } = parseManifest(source.blobs.get(source.root.digest)!);
    const [diffID] = parseImageConfig(source.blobs.get(config.digest)!).diffIDs;
    const content = await openContentStore(directory);
    const layer = { descriptor: source.layers[0]!, diffID: diffID! };
    const work = { directory: layerDirectory(content, diffID!), progress: () => {} };
    await fetchLayer(content, source, layer, work);
    await content.remove(layer.descriptor.digest);
    await fetchLayer(content, source, layer, work);
    expect(await content.stat(layer.descriptor.digest)).toBe(layer.descriptor.size);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
