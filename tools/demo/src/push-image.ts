import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { Readable } from "node:stream";

import { writeTar } from "@lamella/layer-format";
import type { TarInput } from "@lamella/layer-format";
import type { Repository } from "@lamella/oci-client";
import { createDigester, digestOf, hostPlatform, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";

export interface PushedImage {
  readonly digest: Digest;
  readonly layerCount: number;
  readonly entryCount: number;
  /** Of the layers, as transported. */
  readonly sizeBytes: number;
}

/** Packs layers, base first, and pushes them with a config and a manifest under a tag. For small images: a layer is held in memory. */
export async function pushImage(
  repository: Repository,
  tag: string,
  layers: readonly (readonly TarInput[])[],
): Promise<PushedImage> {
  const packed = [];
  for (const entries of layers) packed.push(await packLayer(entries));
  const { os, architecture, variant } = hostPlatform();
  const config = json(OCI_CONFIG, {
    architecture,
    os,
    ...(variant === undefined ? {} : { variant }),
    config: { Cmd: ["/init"], Env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] },
    rootfs: { type: "layers", diff_ids: packed.map(({ diffID }) => diffID) },
  });
  const descriptors = packed.map(({ descriptor }) => descriptor);
  const manifest = json(OCI_MANIFEST, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: config.descriptor,
    layers: descriptors,
  });
  for (const { descriptor, bytes } of [...packed, config]) await repository.push(descriptor, asyncly([bytes]));
  const { digest } = await repository.pushManifest(tag, { bytes: manifest.bytes, mediaType: OCI_MANIFEST });
  return {
    digest,
    layerCount: layers.length,
    entryCount: layers.reduce((sum, entries) => sum + entries.length, 0),
    sizeBytes: descriptors.reduce((sum, { size }) => sum + size, 0),
  };
}

async function packLayer(
  entries: readonly TarInput[],
): Promise<{ descriptor: Descriptor; bytes: Uint8Array; diffID: Digest }> {
  const digester = createDigester();
  async function* tar(): AsyncGenerator<Uint8Array> {
    for await (const chunk of writeTar(asyncly(entries))) {
      digester.update(chunk);
      yield chunk;
    }
  }
  const chunks: Uint8Array[] = [];
  await pipeline(
    Readable.from(tar()),
    createGzip({ level: 6, chunkSize: 1 << 18 }),
    async (packed: AsyncIterable<Uint8Array>) => {
      for await (const chunk of packed) chunks.push(chunk);
    },
  );
  const bytes = Buffer.concat(chunks);
  return {
    descriptor: { mediaType: OCI_LAYER_GZIP, digest: digestOf(bytes), size: bytes.length },
    bytes,
    diffID: digester.digest(),
  };
}

function json(mediaType: string, document: object): { descriptor: Descriptor; bytes: Uint8Array } {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

async function* asyncly<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
