import { gzipSync } from "node:zlib";

import { byteString, writeTar } from "@lamella/layer-format";
import type { TarInput } from "@lamella/layer-format";
import type { ImageStore } from "@lamella/image-store";
import {
  digestOf,
  DOCKER_CONFIG,
  DOCKER_LAYER_GZIP,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER_GZIP,
  OCI_MANIFEST,
} from "@lamella/refs";
import type { Descriptor } from "@lamella/refs";

export const PLATFORM = { os: "linux", architecture: "amd64" };

export interface SampleImage {
  /** One text file a layer. */
  readonly layers?: readonly string[];
  /** How its containers run, in the words of a config. */
  readonly run?: object;
  readonly docker?: boolean;
  readonly architecture?: string;
}

/** Puts an image into a store and gives its manifest. */
export async function addImage(store: ImageStore, sample: SampleImage = {}): Promise<Descriptor> {
  const { layers = ["hello"], run = {}, docker = false, architecture = PLATFORM.architecture } = sample;
  const tars = await Promise.all(layers.map((text, index) => tarOf([{ path: byteString(`file${index}`), text }])));
  const rootfs = { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) };
  const descriptors: Descriptor[] = [];
  for (const tar of tars)
    descriptors.push(await add(store, docker ? DOCKER_LAYER_GZIP : OCI_LAYER_GZIP, gzipSync(tar)));
  const config = await addJson(store, docker ? DOCKER_CONFIG : OCI_CONFIG, {
    os: "linux",
    architecture,
    rootfs,
    config: run,
  });
  const mediaType = docker ? DOCKER_MANIFEST : OCI_MANIFEST;
  return addJson(store, mediaType, { schemaVersion: 2, mediaType, config, layers: descriptors });
}

/** Of the images of several platforms, or of whatever else. */
export async function addIndex(store: ImageStore, manifests: readonly Descriptor[]): Promise<Descriptor> {
  return addJson(store, OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests });
}

export async function addJson(store: ImageStore, mediaType: string, document: object): Promise<Descriptor> {
  return add(store, mediaType, Buffer.from(JSON.stringify(document)));
}

export async function add(store: ImageStore, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  await store.content.push(descriptor, asyncly([bytes]));
  return descriptor;
}

export type TarEntry = Partial<TarInput> & { path: string; text?: string };

export async function tarOf(entries: readonly TarEntry[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(asyncly(entries.map(tarInput)))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function tarInput({ text, ...entry }: TarEntry): TarInput {
  const bytes = new TextEncoder().encode(text ?? "");
  return {
    kind: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    xattrs: new Map(),
    size: bytes.length,
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    contents: () => asyncly([bytes]),
    ...entry,
  };
}

async function* asyncly<Item>(items: Iterable<Item>): AsyncGenerator<Item> {
  yield* items;
}
