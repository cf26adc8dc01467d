import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fixtures, missingForFixtures } from "@lamella/fixtures";
import type { WrittenEstargz } from "@lamella/layer-format/node";
import {
  compareTrees,
  describeDifferences,
  lazyImageNeeds,
  missing,
  runCommand,
  withLazyImage,
} from "@lamella/oracles";
import { digestOf } from "@lamella/refs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { startCountingProxy } from "./counting-proxy.js";
import { type DockerRegistry, startDockerRegistry } from "./docker-registry.js";
import { blobPath, convertLayer, layersOf, nameThatIsNoText, withTocTree, writeImage } from "./estargz-image.js";
import { treeRecords } from "./layer-stack-image.js";

const MINUTES = 60_000;
const TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest";
const reason = missing([...lazyImageNeeds, "docker-registry", "python3", "skopeo", "tar"]) ?? missingForFixtures();

describe.skipIf(reason !== undefined)(`the stargz snapshotter (${reason ?? "with eStargz as we make it"})`, () => {
  let work = "";
  let registry: DockerRegistry;
  let written: readonly WrittenEstargz[] = [];
  const image = (): string => join(work, "image");

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "lamella-e2e-lazy-"));
    await mkdir(join(image(), "blobs", "sha256"), { recursive: true });
    const nodeApp = (await fixtures(["node-app"])).layout("node-app");
    const fixed = await layersOf(nodeApp, "latest");
    // Debian, and the odd files.
    const sources = [fixed[0], fixed[4]].map((layer) => blobPath(nodeApp, layer?.digest ?? ""));
    written = await convertLayers([...sources, await whiteoutLayer()]);
    await writeImage(image(), written);
    registry = await startDockerRegistry({ directory: join(work, "registry") });
    await push(image(), "good");
  }, 10 * MINUTES);

  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  async function convertLayers(sources: readonly string[]): Promise<WrittenEstargz[]> {
    const layers: WrittenEstargz[] = [];
    for (const source of sources) {
      const target = join(work, "layer");
      const layer = await convertLayer(source, target, { chunkSize: 1 << 20 });
      await rename(target, blobPath(image(), layer.digest));
      layers.push(layer);
    }
    return layers;
  }

  /** Takes out what is below: overlayfs shows a whiteout that has nothing to hide. */
  async function whiteoutLayer(): Promise<string> {
    const path = join(work, "whiteouts");
    const commands = `mkdir -p etc/apt usr/bin; touch etc/.wh.debian_version usr/bin/.wh.tac etc/apt/.wh..wh..opq etc/apt/new`;
    await mkdir(path);
    await runCommand("sh", ["-c", `${commands}; tar -cf ../whiteouts.tar .`], { cwd: path, accept: [0] });
    return `${path}.tar`;
  }

  async function push(layout: string, tag: string): Promise<void> {
    const target = `docker://${registry.address}/image:${tag}`;
    await runCommand("skopeo", ["copy", "--dest-tls-verify=false", `oci:${layout}:latest`, target], { accept: [0] });
  }

  /** The image with another first layer, under a tag of this name. */
  async function pushChanged(tag: string, change: (layer: WrittenEstargz, blob: Buffer) => object): Promise<void> {
    const layout = join(work, tag);
    await mkdir(join(layout, "blobs", "sha256"), { recursive: true });
    const [first, ...others] = written;
    if (first === undefined) throw new Error("nothing was written");
    for (const { digest } of others) await copyFile(blobPath(image(), digest), blobPath(layout, digest));
    const blob = await readFile(blobPath(image(), first.digest));
    const changed = { ...first, ...change(first, blob), digest: digestOf(blob) };
    await writeFile(blobPath(layout, changed.digest), blob);
    await writeImage(layout, [changed, ...others]);
    await push(layout, tag);
  }

  it(
    "mounts every layer, fetches what is read and no more, and shows the tree that we see",
    async () => {
      await using proxy = await startCountingProxy(registry.address);
      const totalBytes = written.reduce((sum, { size }) => sum + size, 0);
      await withLazyImage({ reference: `${proxy.address}/image:good` }, async (lazy) => {
        expect(lazy).toMatchObject({ lazyLayers: written.length, refusals: [] });
        const mountedBytes = proxy.blobBytes;
        expect(mountedBytes).toBeLessThan(totalBytes / 10);
        expect(await readFile(join(lazy.directory, "etc", "os-release"), "utf8")).toContain("ID=debian");
        expect(proxy.blobBytes).toBeGreaterThan(mountedBytes);
        expect(proxy.blobBytes).toBeLessThan(totalBytes / 10);
        await withTocTree(image(), "latest", async (tree) => {
          const ignore = [nameThatIsNoText];
          const comparison = await compareTrees(treeRecords(tree), lazy.directory, { ignore });
          expect(describeDifferences(comparison)).toBe("");
          expect(comparison.entryCount).toBeGreaterThan(4000);
          expect(comparison.ignoredCounts).toEqual([2]);
        });
        expect(proxy.blobBytes).toBeGreaterThan(totalBytes / 2);
      });
    },
    // the snapshotter may have to be compiled
    5 * MINUTES,
  );

  it(
    "does not mount a layer whose table is not the one that the manifest vouches for",
    async () => {
      await pushChanged("unvouched", (layer) => ({
        annotations: { ...layer.annotations, [TOC_DIGEST]: digestOf(Buffer.from("another")) },
      }));
      await withLazyImage({ reference: `${registry.address}/image:unvouched` }, ({ lazyLayers, refusals }) => {
        expect(refusals).toEqual([expect.stringContaining("invalid TOC JSON")]);
        expect(lazyLayers).toBe(written.length - 1);
        return Promise.resolve();
      });
    },
    2 * MINUTES,
  );

  it(
    "mounts a layer of a damaged chunk, and does not give it out",
    async () => {
      await pushChanged("damaged", (_layer, blob) => {
        const middle = blob.length >> 1;
        blob.writeUInt8(blob.readUInt8(middle) ^ 1, middle);
        return {};
      });
      await withLazyImage({ reference: `${registry.address}/image:damaged` }, async (lazy) => {
        expect(lazy).toMatchObject({ lazyLayers: written.length, refusals: [] });
        const { exitCode, output } = await runCommand("tar", ["-C", lazy.directory, "-cf", "/dev/zero", "."]);
        expect(exitCode).toBe(2);
        expect(output).toContain("Input/output error");
      });
    },
    2 * MINUTES,
  );
});
