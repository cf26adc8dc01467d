import { join } from "node:path";

import { createRandom } from "@lamella/fuzz";
import { byteString, writeTar } from "@lamella/layer-format";
import type { TarInput } from "@lamella/layer-format";
import { copyImage, createDockerArchive, createOciArchive, createOciLayout } from "@lamella/oci-client";
import type { WritableOciLayout } from "@lamella/oci-client";
import { digestOf, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";
import { gzipSync } from "node:zlib";

/** What the images are for. */
export const PLATFORM = { os: "linux", architecture: "amd64" } as const;
/** Images of four layers: the lowest of all, the next of every second one, two of their own. */
export const IMAGES = ["a", "b", "c", "d", "e", "f"] as const;
export type SampleName = (typeof IMAGES)[number];

/** What `makeSampleImages` writes into a directory. */
export interface SamplePaths {
  /** An OCI layout that has all images, by their names. */
  readonly layout: string;
  /** An archive of image `e`. */
  readonly ociArchive: string;
  /** One of image `f`, which has a name there. */
  readonly dockerArchive: string;
}

/** The name that image `f` has in its archive. */
export const ARCHIVED_NAME = "docker.io/library/archived:latest";

export function samplePaths(directory: string): SamplePaths {
  return {
    layout: join(directory, "layout"),
    ociArchive: join(directory, "oci.tar"),
    dockerArchive: join(directory, "docker.tar"),
  };
}

/** Writes small images: a few hundred kilobytes, so that to bring one takes a moment, and more than one write. */
export async function makeSampleImages(directory: string): Promise<SamplePaths> {
  const paths = samplePaths(directory);
  const layout = await createOciLayout(paths.layout);
  for (const [number, name] of IMAGES.entries()) {
    const isIndex = number % 2 === 1;
    await pushImage(layout, { name, layers: ["base", `half-${number % 2}`, `own-${name}`, `top-${name}`], isIndex });
  }
  await using ociArchive = await createOciArchive(paths.ociArchive);
  await copyImage({ images: layout, name: "e" }, { images: ociArchive, name: "e" });
  await ociArchive.commit();
  await using dockerArchive = await createDockerArchive(paths.dockerArchive);
  // an archive of Docker's has no index
  const [manifest] = await childrenOf(layout, await layout.resolve("f"));
  await copyImage({ images: layout, name: manifest!.digest }, { images: dockerArchive, name: ARCHIVED_NAME });
  await dockerArchive.commit();
  return paths;
}

interface SampleImage {
  readonly name: string;
  readonly layers: readonly string[];
  readonly isIndex: boolean;
}

async function pushImage(layout: WritableOciLayout, { name, layers, isIndex }: SampleImage): Promise<void> {
  const descriptors: Descriptor[] = [];
  const diffIDs: Digest[] = [];
  for (const layer of layers) {
    const tar = await packTar(layerFiles(layer));
    diffIDs.push(digestOf(tar));
    descriptors.push(await push(layout, OCI_LAYER_GZIP, gzipSync(tar, { level: 1 })));
  }
  const rootfs = { type: "layers", diff_ids: diffIDs };
  const config = await push(layout, OCI_CONFIG, json({ ...PLATFORM, rootfs, config: { Cmd: ["/init"] } }));
  const bytes = json({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: descriptors });
  const manifest = await layout.pushManifest(isIndex ? digestOf(bytes) : name, { bytes, mediaType: OCI_MANIFEST });
  if (!isIndex) return;
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ ...manifest, platform: PLATFORM }] };
  await layout.pushManifest(name, { bytes: json(index), mediaType: OCI_INDEX });
}

async function push(layout: WritableOciLayout, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  await layout.push(descriptor, asyncly([bytes]));
  return descriptor;
}

async function childrenOf(layout: WritableOciLayout, index: Descriptor): Promise<readonly Descriptor[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of layout.fetch(index)) chunks.push(chunk);
  return (JSON.parse(Buffer.concat(chunks).toString()) as { manifests: Descriptor[] }).manifests;
}

/** Half of the data can be compressed, half cannot. */
function layerFiles(layer: string): TarInput[] {
  const random = createRandom(Number.parseInt(digestOf(Buffer.from(layer)).slice(-7), 16));
  const noise = Buffer.from(Array.from({ length: 150_000 }, () => random.below(256)));
  const text = Buffer.from(`${layer}\n`.repeat(10_000));
  return [
    entry("etc", "directory"),
    entry(`etc/${layer}`, "file", text),
    entry("etc/last", "file", Buffer.from(layer)),
    entry(`noise-${layer}`, "file", noise),
  ];
}

function entry(path: string, kind: "file" | "directory", bytes: Uint8Array = new Uint8Array()): TarInput {
  return {
    path: byteString(path),
    kind,
    mode: kind === "file" ? 0o644 : 0o755,
    uid: 0,
    gid: 0,
    mtimeSeconds: 1_700_000_000,
    mtimeNanoseconds: 0,
    xattrs: new Map(),
    size: bytes.length,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    contents: () => asyncly([bytes]),
  };
}

async function packTar(entries: readonly TarInput[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(asyncly(entries))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function json(document: object): Uint8Array {
  return Buffer.from(JSON.stringify(document));
}

async function* asyncly<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
