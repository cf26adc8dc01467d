import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";

import { fixtures, missingForFixtures, type RunningRegistry, startFixtureRegistry } from "@lamella/fixtures";
import { compareTrees, displayPath, type FileTree, mergeLayers } from "@lamella/layer-format";
import { openTarLayer } from "@lamella/layer-format/node";
import {
  createLayerResolver,
  type LazyImage,
  openBlobCache,
  openLazyImage,
  openPlainIndexStore,
} from "@lamella/lazy-layer";
import { createRegistryClient } from "@lamella/oci-client";
import { missing } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type CountingProxy, startCountingProxy } from "./counting-proxy.js";
import { blobPath } from "./estargz-image.js";

const MINUTES = 60_000;
const reason = missing(["docker-registry"]) ?? missingForFixtures();
const platform = { os: "linux", architecture: "amd64" };

describe.skipIf(reason !== undefined)(`an image without a table of contents (${reason ?? "debian-slim"})`, () => {
  let work = "";
  let layout = "";
  let registry: RunningRegistry;
  let proxy: CountingProxy;
  const client = createRegistryClient();

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-e2e-lazy-plain-"));
    layout = (await fixtures(["debian-slim"])).layout("debian-slim");
    registry = await startFixtureRegistry();
    proxy = await startCountingProxy(registry.address);
  }, 10 * MINUTES);

  afterAll(async () => {
    await client.close();
    await proxy?.[Symbol.asyncDispose]();
    await registry?.close();
    await rm(work, { recursive: true, force: true });
  });

  /** A layer's tar, by zlib alone. */
  async function inflated(digest: string): Promise<string> {
    const path = join(work, `${digest.replace(":", "-")}.tar`);
    await pipeline(createReadStream(blobPath(layout, digest)), createGunzip(), createWriteStream(path));
    return path;
  }

  async function withImage(cacheName: string, use: (image: LazyImage) => Promise<void>): Promise<void> {
    const indexes = await openPlainIndexStore(join(work, "indexes"));
    await using resolver = createLayerResolver({ cache: await openBlobCache(join(work, cacheName)) });
    const repository = client.repository({ domain: proxy.address, path: "debian-slim" });
    await using image = await openLazyImage(repository, "latest", { resolver, indexes, platform });
    await use(image);
  }

  async function textOf(tree: FileTree, path: string): Promise<string> {
    const entry = await tree.lookup(path);
    if (entry === undefined) throw new Error(`no ${path}`);
    const chunks: Buffer[] = [];
    for await (const chunk of tree.read(entry)) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString();
  }

  it(
    "is read once for its index; with that, a small file costs a span, and the tree is that of the whole layer",
    async () => {
      let [layerBytes, indexBytes] = [0, 0];
      await withImage("first", async ({ manifest, tree }) => {
        layerBytes = manifest.layers.reduce((sum, { size }) => sum + size, 0);
        expect(await textOf(tree, "usr/lib/os-release")).toContain("ID=debian");
        for (const { digest } of manifest.layers)
          indexBytes += (await stat(join(work, "indexes", `${digest.replace(":", "-")}.index`))).size;
      });
      expect(proxy.blobBytes).toBeGreaterThan(layerBytes);
      expect(proxy.blobBytes).toBeLessThan(1.01 * layerBytes);
      expect(indexBytes).toBeLessThan(0.03 * layerBytes);

      const before = proxy.blobBytes;
      await withImage("second", async ({ manifest, tree }) => {
        expect(await textOf(tree, "usr/lib/os-release")).toContain("ID=debian");
        const fileBytes = proxy.blobBytes - before;
        const share = ((100 * fileBytes) / layerBytes).toFixed(2);
        console.log(`index of ${indexBytes} bytes; ${fileBytes} of ${layerBytes} bytes for a small file: ${share} %`);
        expect(fileBytes).toBeLessThan(0.05 * layerBytes);
        const tars = await Promise.all(manifest.layers.map(({ digest }) => inflated(digest)));
        await using eager = await mergeLayers(await Promise.all(tars.map((path) => openTarLayer(path))));
        const differences: string[] = [];
        for await (const { entry, change } of compareTrees(eager, tree))
          differences.push(`${change} ${displayPath(entry.path)}`);
        expect(differences).toEqual([]);
        expect(tree.entryCount).toBe(eager.entryCount);
      });
      expect(proxy.blobBytes - before).toBeLessThan(1.02 * layerBytes);
    },
    5 * MINUTES,
  );
});
