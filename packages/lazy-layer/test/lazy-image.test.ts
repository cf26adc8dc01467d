import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

import { createRegistryClient } from "@lamella/oci-client";
import { type Descriptor, digestOf, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST } from "@lamella/refs";
import { describe, expect, it, vi } from "vitest";

import type { LazyImageSource, LazyLayerInfo } from "../src/index.js";
import { imageSource, openTestImage, type TestImageSource } from "./image-source.js";
import { bytesOf, madeBytes } from "./memory-source.js";
import { readFileOf } from "./open-made-layer.js";
import { scratchDirectory } from "./scratch.js";
import { LAYER_FORMS, makeLayer, type MadeLayer } from "./toc-layers.js";

const directory = scratchDirectory();
const KIB = 1024;

const base = (form: MadeLayerForm): Promise<MadeLayer> =>
  makeLayer(form, [
    { path: "etc", kind: "directory" },
    { path: "etc/base", content: madeBytes(200 * KIB, 1) },
    { path: "etc/gone", content: "gone" },
  ]);
const upper = (form: MadeLayerForm): Promise<MadeLayer> =>
  makeLayer(form, [
    { path: "etc/gone", kind: "whiteout" },
    { path: "etc/upper", content: madeBytes(200 * KIB, 2) },
  ]);
type MadeLayerForm = (typeof LAYER_FORMS)[number];

const served = ({ layers }: TestImageSource): number => layers.reduce((sum, { servedBytes }) => sum + servedBytes, 0);

describe("openLazyImage()", () => {
  it.each(LAYER_FORMS)("merges layers where they lie, and fetches what is read: %s", async (form) => {
    const images = imageSource([await base(form), await upper(form)]);
    await using image = await openTestImage(images, directory());
    expect(image.config.diffIDs).toHaveLength(2);
    expect(image.layers.map(({ descriptor }) => descriptor.digest)).toEqual(
      image.manifest.layers.map(({ digest }) => digest),
    );
    expect(image.layers.map((layer) => (layer.info() as LazyLayerInfo).isVouchedFor)).toEqual([true, true]);
    expect(await image.tree.lookup("etc/gone")).toBeUndefined();
    const opened = served(images);
    expect(opened).toBeLessThan(200 * KIB);
    expect((await readFileOf(image.tree, "etc/upper")).equals(madeBytes(200 * KIB, 2))).toBe(true);
    expect(images.layers[0]?.servedBytes).toBeLessThan(100 * KIB);
    expect((await readFileOf(image.tree, "etc/base")).equals(madeBytes(200 * KIB, 1))).toBe(true);
  });

  it("has asked for the tables of all layers before one is read", async () => {
    const files = (seed: number) =>
      Array.from({ length: 3000 }, (_, index) => ({
        path: `${seed}-${index}`,
        content: madeBytes(8, 3000 * seed + index),
      }));
    const images = imageSource([await makeLayer("estargz", files(1)), await makeLayer("estargz", files(2))]);
    const tableRequests = (): number[] => images.layers.map(({ requests }) => requests.length);
    const source: LazyImageSource = {
      ...images,
      async *fetch(descriptor, options) {
        // a table beyond the blob's end takes a second request
        if (descriptor.mediaType === OCI_CONFIG)
          await vi.waitUntil(() => tableRequests().every((count) => count === 2));
        yield* images.fetch(descriptor, options);
      },
    };
    await using image = await openTestImage(source, directory());
    expect(image.tree.entryCount).toBe(6001);
    expect(tableRequests()).toEqual([2, 2]);
  });

  it("opens layers of all kinds beside each other, and those without a table once as a whole", async () => {
    const plain = { ...(await base("estargz")), annotations: {} };
    plain.bytes = gzipSync(plain.tar);
    const images = imageSource([plain, await upper("zstd:chunked"), await upper("external TOC")]);
    {
      await using image = await openTestImage(images, directory());
      expect((await readFileOf(image.tree, "etc/base")).equals(madeBytes(200 * KIB, 1))).toBe(true);
      expect((await readFileOf(image.tree, "etc/upper")).equals(madeBytes(200 * KIB, 2))).toBe(true);
      for (const layer of image.layers) await layer.backgroundFetch();
      const pushed: Descriptor[] = [];
      for (const layer of image.layers)
        await layer.complete({
          async push(descriptor, content) {
            pushed.push(descriptor);
            await bytesOf(content);
          },
        });
      expect(pushed).toEqual(image.manifest.layers);
    }
    expect(images.layers[0]?.servedBytes).toBe(plain.bytes.length);
    const before = served(images);
    await using again = await openTestImage(images, directory());
    expect((await readFileOf(again.tree, "etc/base")).equals(madeBytes(200 * KIB, 1))).toBe(true);
    expect(served(images)).toBe(before);
  });

  it("reads an external table only by a tag, and the image of tables once", async () => {
    const images = imageSource([await base("external TOC"), await upper("external TOC")]);
    {
      await using image = await openTestImage(images, directory());
      expect((await readFileOf(image.tree, "etc/upper")).equals(madeBytes(200 * KIB, 2))).toBe(true);
    }
    expect(images.asked.filter((name) => name === "v1-esgztoc")).toHaveLength(1);
    const asked = images.asked.length;
    const byDigest = (await images.resolve("v1")).digest;
    await using image = await openTestImage(images, `${directory()}/digest`, { name: byDigest });
    expect(images.asked.slice(asked)).not.toContain("v1-esgztoc");
    expect((await readFileOf(image.tree, "etc/base")).equals(madeBytes(200 * KIB, 1))).toBe(true);
  });

  it("takes the platform's image of an index, with one request for the name where a source can", async () => {
    const images = imageSource([await base("estargz")], { isIndex: true, hasFetchManifest: true });
    await using image = await openTestImage(images, directory());
    expect(image.descriptor.mediaType).toBe(OCI_MANIFEST);
    expect(images.asked).toEqual(["v1", OCI_MANIFEST, "application/vnd.oci.image.config.v1+json"]);
    const other = { os: "linux", architecture: "riscv64" };
    await expect(openTestImage(images, directory(), { platform: other })).rejects.toMatchObject({
      code: "platform_unavailable",
    });
  });

  it("ends all reads when it is closed, and leaves nothing open when it fails", async () => {
    const good = imageSource([await base("estargz")]);
    const image = await openTestImage(good, directory());
    const entry = await image.tree.lookup("etc/base");
    await image[Symbol.asyncDispose]();
    if (entry === undefined) throw new Error("no entry");
    await expect((async () => bytesOf(image.tree.read(entry)))()).rejects.toThrow("closed");
    const bad = {
      ...(await upper("estargz")),
      annotations: { "containerd.io/snapshot/stargz/toc.digest": digestOf(Buffer.from("x")) },
    };
    await expect(openTestImage(imageSource([await base("estargz"), bad]), directory())).rejects.toMatchObject({
      code: "digest_mismatch",
    });
    const reason = new Error("enough");
    await expect(openTestImage(good, directory(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("a registry that sends readers on to another place", () => {
  it("is asked for the way anew when that has expired, and read as a stream where that place knows no ranges", async () => {
    const made = await base("estargz");
    const images = imageSource([made]);
    let tickets = 0;
    let knowsRanges = true;
    const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const url = new URL(request.url ?? "/", "http://registry");
      const name = url.pathname.split("/").at(-1) ?? "";
      if (url.pathname.includes("/manifests/")) {
        const descriptor = await images.resolve(name);
        response.writeHead(200, { "content-type": descriptor.mediaType, "docker-content-digest": descriptor.digest });
        response.end(await bytesOf(images.fetch(descriptor)));
      } else if (url.pathname.includes("/blobs/") && name === digestOf(made.bytes)) {
        response.writeHead(307, { location: `/elsewhere?ticket=${++tickets}` }).end();
      } else if (url.pathname.includes("/blobs/")) {
        const digest = name as ReturnType<typeof digestOf>;
        response.end(await bytesOf(images.fetch({ mediaType: OCI_LAYER_GZIP, digest, size: 0 })));
      } else if (url.searchParams.get("ticket") !== `${tickets}`) {
        response.writeHead(403).end();
      } else {
        const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
        if (first === undefined || last === undefined || !knowsRanges) {
          response.writeHead(200, { "content-length": made.bytes.length }).end(made.bytes);
          return;
        }
        const part = made.bytes.subarray(Number(first), Number(last) + 1);
        response.writeHead(206, { "content-range": `bytes ${first}-${last}/${made.bytes.length}` }).end(part);
      }
    };
    const server = createServer((request, response) => {
      answer(request, response).catch(() => response.writeHead(404).end());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    await using client = createRegistryClient();
    try {
      const domain = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const repository = client.repository({ domain, path: "image" });
      {
        await using image = await openTestImage(repository, directory());
        expect((await readFileOf(image.tree, "etc/base")).equals(madeBytes(200 * KIB, 1))).toBe(true);
        expect(tickets).toBeGreaterThan(1);
      }
      knowsRanges = false;
      await using image = await openTestImage(repository, `${directory()}/stream`);
      expect((await readFileOf(image.tree, "etc/base")).equals(madeBytes(200 * KIB, 1))).toBe(true);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
