import { readdir } from "node:fs/promises";

import type { MemoryLayerSpec } from "@lamella/layer-format/testing";
import {
  type Descriptor,
  DOCKER_CONFIG,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_MANIFEST,
  pairLayers,
  parseImageConfig,
  parseManifest,
} from "@lamella/refs";
import { describe, expect, it, onTestFinished } from "vitest";

import { inPieces, layerTar } from "../src/conformance/layer-tar.js";
import type { Snapshotter } from "../src/index.js";
import { applyLayers, commitImage, createApplier, createSnapshotter, createTreeDriver } from "../src/node/index.js";
import { memoryContent, type MemoryContent, putLayers } from "./image-layers.js";
import { temporaryDirectory } from "./temporary.js";

const EPOCH = 1_600_000_000;
const RUN = { Cmd: ["sh"], Env: ["PATH=/bin", "A=1"], Labels: { a: "1" }, Healthcheck: { Interval: 30_000_000_000 } };

interface Base {
  readonly content: MemoryContent;
  readonly descriptor: Descriptor;
  readonly snapshotter: Snapshotter;
}

/** An image of two layers that is unpacked, with a snapshot `work` on it. */
async function prepareBase(
  change: MemoryLayerSpec,
  { mediaType = OCI_MANIFEST, config = {} }: { mediaType?: string; config?: object } = {},
): Promise<Base> {
  const content = memoryContent();
  const layers = await putLayers(content, [
    [
      { path: "etc", kind: "directory" },
      { path: "etc/name", content: "base" },
    ],
    [{ path: "bin", content: "two" }],
  ]);
  const document = {
    architecture: "arm64",
    os: "linux",
    author: "somebody",
    "moby.buildkit": { unknown: [1.5, null] },
    config: RUN,
    history: [{ created_by: "one" }, { created_by: "two" }],
    rootfs: { type: "layers", diff_ids: layers.map(({ diffID }) => diffID) },
    ...config,
  };
  const put = (type: string, value: object): Descriptor => content.put(type, Buffer.from(JSON.stringify(value)));
  const descriptor = put(mediaType, {
    schemaVersion: 2,
    mediaType,
    config: put(mediaType === DOCKER_MANIFEST ? DOCKER_CONFIG : OCI_CONFIG, document),
    layers: layers.map((layer, index) => ({ ...layer.descriptor, annotations: { number: String(index) } })),
  });
  const snapshotter = await createSnapshotter(await temporaryDirectory(), createTreeDriver());
  onTestFinished(() => snapshotter[Symbol.asyncDispose]());
  const parent = await applyLayers(layers, snapshotter, createApplier(content));
  await snapshotter.prepare("work", parent);
  if (change.length > 0) await snapshotter.apply("work", inPieces(await layerTar(change)));
  return { content, descriptor, snapshotter };
}

function read(content: MemoryContent, { digest }: Descriptor): Uint8Array {
  return content.blobs.get(digest) as Uint8Array;
}

function json(bytes: Uint8Array) {
  return JSON.parse(Buffer.from(bytes).toString());
}

const CHANGE: MemoryLayerSpec = [{ path: "new", content: "new", mtime: EPOCH + 5 }];

describe("commitImage()", () => {
  it("makes an image with one more layer, and keeps what the base says otherwise", async () => {
    const { content, descriptor, snapshotter } = await prepareBase(CHANGE);
    const to = memoryContent();
    const made = await commitImage(snapshotter, "work", to, {
      base: { images: content, descriptor },
      sourceDateEpoch: EPOCH,
      createdBy: "lamella",
      comment: "a test",
    });

    const manifest = json(read(to, made.manifest.descriptor));
    const config = json(read(to, made.config.descriptor));
    const created = "2020-09-13T12:26:40.000Z";
    expect(manifest).toMatchObject({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      annotations: { "org.opencontainers.image.base.digest": descriptor.digest },
    });
    const old = json(read(content, descriptor));
    expect(manifest.layers.slice(0, 2)).toEqual(old.layers);
    expect(manifest.layers).toHaveLength(3);
    const { config: run, rootfs, history, ...rest } = config;
    expect(run).toEqual(RUN);
    expect(rest).toEqual({
      architecture: "arm64",
      os: "linux",
      author: "somebody",
      "moby.buildkit": { unknown: [1.5, null] },
      created,
    });
    expect(rootfs.diff_ids[2]).toBe(made.layer?.diffID);
    expect(history.slice(2)).toEqual([{ created, created_by: "lamella", comment: "a test" }]);
    for (const layer of manifest.layers) expect(to.blobs.has(layer.digest)).toBe(true);
  });

  it("makes an image that unpacks to what the snapshot shows", async () => {
    const { content, descriptor, snapshotter } = await prepareBase([
      ...CHANGE,
      { path: "etc/name", kind: "whiteout" },
    ] as MemoryLayerSpec);
    const to = memoryContent();
    const made = await commitImage(snapshotter, "work", to, { base: { images: content, descriptor } });
    const manifest = parseManifest(made.manifest.bytes, made.manifest.descriptor.mediaType);
    const layers = pairLayers(manifest, parseImageConfig(made.config.bytes));
    const top = await applyLayers(layers, snapshotter, createApplier(to));
    await using tree = await snapshotter.openTree(top);
    const paths: string[] = [];
    for await (const { path } of tree.entries()) paths.push(path);
    expect(paths).toEqual(["", "bin", "etc", "new"]);
  });

  it("makes the same bytes of the same snapshot", async () => {
    const { content, descriptor, snapshotter } = await prepareBase(CHANGE);
    const options = { base: { images: content, descriptor }, sourceDateEpoch: EPOCH };
    const one = await commitImage(snapshotter, "work", memoryContent(), options);
    await snapshotter.commit("done", "work");
    const two = await commitImage(snapshotter, "done", memoryContent(), options);
    expect(two.manifest).toEqual(one.manifest);
  });

  it("keeps to Docker's media types on an image of Docker's", async () => {
    const { content, descriptor, snapshotter } = await prepareBase(CHANGE, { mediaType: DOCKER_MANIFEST });
    const to = memoryContent();
    const made = await commitImage(snapshotter, "work", to, { base: { images: content, descriptor } });
    const manifest = json(made.manifest.bytes);
    expect(made.manifest.descriptor.mediaType).toBe(DOCKER_MANIFEST);
    expect(manifest.config.mediaType).toBe(DOCKER_CONFIG);
    expect(manifest.layers[2].mediaType).toBe("application/vnd.docker.image.rootfs.diff.tar.gzip");
    expect(manifest.annotations).toBeUndefined();
  });

  it("takes changes of how the image runs", async () => {
    const { content, descriptor, snapshotter } = await prepareBase(CHANGE);
    const made = await commitImage(snapshotter, "work", memoryContent(), {
      base: { images: content, descriptor },
      author: "me",
      run: {
        cmd: ["true"],
        entrypoint: ["/init"],
        env: ["A=2=3", "B=1"],
        user: "7",
        workingDir: "/w",
        labels: { b: "2" },
        exposedPorts: ["80/tcp"],
        volumes: ["/v"],
        stopSignal: "SIGINT",
      },
    });
    const config = json(made.config.bytes);
    expect(config.author).toBe("me");
    expect(config.config).toEqual({
      Cmd: ["true"],
      Entrypoint: ["/init"],
      Env: ["PATH=/bin", "A=2=3", "B=1"],
      User: "7",
      WorkingDir: "/w",
      Labels: { a: "1", b: "2" },
      ExposedPorts: { "80/tcp": {} },
      Volumes: { "/v": {} },
      StopSignal: "SIGINT",
      Healthcheck: RUN.Healthcheck,
    });
  });

  it("adds no layer where nothing has changed", async () => {
    const { content, descriptor, snapshotter } = await prepareBase([]);
    const base = { images: content, descriptor };
    const made = await commitImage(snapshotter, "work", memoryContent(), {
      base,
      createdBy: "set",
      run: { user: "1" },
    });
    expect(made.layer).toBeUndefined();
    expect(json(made.manifest.bytes).layers).toHaveLength(2);
    expect(json(made.config.bytes).history[2]).toMatchObject({ created_by: "set", empty_layer: true });
  });

  it("makes an image of one layer without a base", async () => {
    const { snapshotter } = await prepareBase(CHANGE);
    const to = memoryContent();
    const platform = { os: "linux", architecture: "arm", variant: "v7" };
    const made = await commitImage(snapshotter, "work", to, { platform, compression: "none", now: () => 0 });
    const manifest = parseManifest(made.manifest.bytes, OCI_MANIFEST);
    const config = parseImageConfig(made.config.bytes);
    expect(config).toMatchObject({ ...platform, created: "1970-01-01T00:00:00.000Z", history: [{}] });
    expect(pairLayers(manifest, config)).toHaveLength(1);
    expect(made.layer?.entryCount).toBe(4);
  });

  it("does not push layers that only their own address may give", async () => {
    const { content, descriptor, snapshotter } = await prepareBase(CHANGE);
    const foreign = json(read(content, descriptor));
    foreign.layers[0].mediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    const base = { images: content, descriptor: content.put(OCI_MANIFEST, Buffer.from(JSON.stringify(foreign))) };
    const to = memoryContent();
    await commitImage(snapshotter, "work", to, { base });
    expect(to.blobs.has(foreign.layers[0].digest)).toBe(false);
    expect(to.blobs.has(foreign.layers[1].digest)).toBe(true);
  });

  it("refuses a config with numbers that would not be the same", async () => {
    const { content, descriptor, snapshotter } = await prepareBase(CHANGE);
    const manifest = json(read(content, descriptor));
    const text = Buffer.from(read(content, manifest.config)).toString().replace("30000000000", "9007199254740993");
    manifest.config = content.put(OCI_CONFIG, Buffer.from(text));
    const base = { images: content, descriptor: content.put(OCI_MANIFEST, Buffer.from(JSON.stringify(manifest))) };
    await expect(commitImage(snapshotter, "work", memoryContent(), { base })).rejects.toMatchObject({
      code: "unsupported",
    });
  });

  it("needs the snapshot, and that of the base", async () => {
    const { content, descriptor } = await prepareBase(CHANGE);
    const snapshotter = await createSnapshotter(await temporaryDirectory(), createTreeDriver());
    onTestFinished(() => snapshotter[Symbol.asyncDispose]());
    const temporary = await temporaryDirectory();
    const options = { base: { images: content, descriptor }, temporaryDirectory: temporary };
    await expect(commitImage(snapshotter, "work", memoryContent(), options)).rejects.toMatchObject({
      code: "not_found",
    });
    await snapshotter.prepare("work");
    await expect(commitImage(snapshotter, "work", memoryContent(), options)).rejects.toMatchObject({
      code: "not_found",
    });
    expect(await readdir(temporary)).toEqual([]);
  });

  it("stops when it is told to", async () => {
    const { snapshotter } = await prepareBase(CHANGE);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(commitImage(snapshotter, "work", memoryContent(), { signal })).rejects.toThrow("enough");
  });
});
