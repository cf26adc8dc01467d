import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fixtures, missingForFixtures, startFixtureRegistry } from "@lamella/fixtures";
import type { RunningRegistry } from "@lamella/fixtures";
import { openImageStore, openImageTree, pullImage } from "@lamella/image-store";
import { displayPath, type FileTree, compareTrees } from "@lamella/layer-format";
import {
  createLayerResolver,
  type LazyImage,
  openBlobCache,
  openLazyImage,
  openPlainIndexStore,
} from "@lamella/lazy-layer";
import { createRegistryClient, type Repository } from "@lamella/oci-client";
import { missing } from "@lamella/oracles";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type CountingProxy, startCountingProxy } from "./counting-proxy.js";

const MINUTES = 60_000;
const reason = missing(["docker-registry"]) ?? missingForFixtures();
const platform = { os: "linux", architecture: "amd64" };
/** What eStargz puts into the tar, and a table does not list. */
const OF_THE_FORMAT = new Set(["stargz.index.json", ".prefetch.landmark", ".no.prefetch.landmark"]);

describe.skipIf(reason !== undefined)(
  `an image that is read where it lies (${reason ?? "eStargz as ctr-remote makes it"})`,
  () => {
    let work = "";
    let registry: RunningRegistry;
    let proxy: CountingProxy;
    const client = createRegistryClient();

    beforeAll(async () => {
      work = await mkdtemp(join(tmpdir(), "lamella-e2e-lazy-image-"));
      await fixtures(["node-app"]);
      registry = await startFixtureRegistry();
      proxy = await startCountingProxy(registry.address);
    }, 10 * MINUTES);

    afterAll(async () => {
      await client.close();
      await proxy?.[Symbol.asyncDispose]();
      await registry?.close();
      await rm(work, { recursive: true, force: true });
    });

    const repositoryAt = (address: string): Repository => client.repository({ domain: address, path: "node-app" });

    /** A process of its own, as far as the cache can tell. */
    async function open(): Promise<LazyImage> {
      const cache = await openBlobCache(join(work, "blobs"));
      const resolver = createLayerResolver({ cache });
      const indexes = await openPlainIndexStore(join(work, "indexes"));
      const image = await openLazyImage(repositoryAt(proxy.address), "estargz", { resolver, indexes, platform });
      return {
        ...image,
        async [Symbol.asyncDispose]() {
          await image[Symbol.asyncDispose]();
          await resolver.close();
        },
      };
    }

    async function contentOf(tree: FileTree, path: string): Promise<string> {
      const entry = await tree.lookup(path);
      if (entry === undefined) throw new Error(`no ${path}`);
      const chunks: Buffer[] = [];
      for await (const chunk of tree.read(entry)) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks).toString();
    }

    it(
      "gives a small file for less than three hundredths of the image, then all of it as a pull does, and nothing twice",
      async () => {
        let blobBytes = 0;
        {
          await using image = await open();
          blobBytes = image.manifest.layers.reduce((sum, { size }) => sum + size, 0);
          expect(await contentOf(image.tree, "usr/lib/os-release")).toContain("ID=debian");
          const firstBytes = proxy.blobBytes;
          console.log(
            `${firstBytes} of ${blobBytes} bytes for the first file: ${((100 * firstBytes) / blobBytes).toFixed(2)} %`,
          );
          expect(firstBytes).toBeLessThan(blobBytes * 0.03);
          await using store = await openImageStore(join(work, "root"));
          const pulled = await pullImage(store, repositoryAt(registry.address), "estargz", { platform });
          await using eager = await openImageTree(store.content, pulled);
          const differences: string[] = [];
          for await (const difference of compareTrees(eager, image.tree)) {
            const { path } = difference.entry;
            if (OF_THE_FORMAT.has(path)) continue;
            // a table is JSON: Go reads the bytes of a name that are no text as U+FFFD
            if (path.startsWith("odd/names/raw-") && difference.change !== "changed") continue;
            // and rounds times to the second
            if (
              difference.change === "changed" &&
              difference.aspects.every((aspect) => aspect === "mtime") &&
              isRounded(difference.before, difference.entry)
            )
              continue;
            differences.push(
              `${difference.change} ${displayPath(path)} ${difference.change === "changed" ? difference.aspects.join() : ""}`,
            );
          }
          expect(differences).toEqual([]);
          expect(image.tree.entryCount).toBeGreaterThan(60_000);
        }
        const before = proxy.blobBytes;
        expect(before).toBeLessThan(blobBytes * 1.02);
        await using again = await open();
        for await (const entry of again.tree.entries()) {
          if (entry.kind !== "file" || !entry.path.startsWith("usr/bin/")) continue;
          for await (const chunk of again.tree.read(entry)) expect(chunk.length).toBeGreaterThan(0);
        }
        for (const layer of again.layers) await layer.backgroundFetch();
        // the configuration, and what is between the files and the table
        expect(proxy.blobBytes - before).toBeLessThan(blobBytes * 0.02);
      },
      5 * MINUTES,
    );
  },
);

function isRounded(exact: { mtimeSeconds: number; mtimeNanoseconds: number }, shown: typeof exact): boolean {
  return (
    shown.mtimeNanoseconds === 0 && shown.mtimeSeconds === exact.mtimeSeconds + (exact.mtimeNanoseconds >= 5e8 ? 1 : 0)
  );
}
