import { gzipSync } from "node:zlib";

import type { MemoryLayerSpec } from "@lamella/layer-format/testing";
import { type Descriptor, type Digest, digestOf, type Fetcher, OCI_LAYER_GZIP, type Pusher } from "@lamella/refs";

import { layerTar } from "../src/conformance/layer-tar.js";
import type { DescribedLayer } from "../src/index.js";

/** Content by digest, and which was asked for. */
export interface MemoryContent extends Fetcher, Pusher {
  readonly blobs: Map<Digest, Uint8Array>;
  readonly fetched: Digest[];
  put(mediaType: string, bytes: Uint8Array): Descriptor;
}

export function memoryContent(): MemoryContent {
  const blobs = new Map<Digest, Uint8Array>();
  const fetched: Digest[] = [];
  return {
    blobs,
    fetched,
    put(mediaType, bytes) {
      const digest = digestOf(bytes);
      blobs.set(digest, bytes);
      return { mediaType, digest, size: bytes.length };
    },
    async *fetch({ digest }) {
      fetched.push(digest);
      const bytes = blobs.get(digest);
      if (bytes === undefined) throw new Error(`no blob ${digest}`);
      yield bytes;
    },
    async push({ digest }, content) {
      if (blobs.has(digest)) return;
      const chunks: Uint8Array[] = [];
      for await (const chunk of content) chunks.push(Uint8Array.from(chunk));
      blobs.set(digest, Buffer.concat(chunks));
    },
  };
}

/** Puts a layer's blob where it can be fetched. */
async function putLayer(content: MemoryContent, spec: MemoryLayerSpec): Promise<DescribedLayer> {
  const tar = await layerTar(spec);
  return { descriptor: content.put(OCI_LAYER_GZIP, gzipSync(tar)), diffID: digestOf(tar) };
}

export async function putLayers(content: MemoryContent, specs: readonly MemoryLayerSpec[]): Promise<DescribedLayer[]> {
  return Promise.all(specs.map((spec) => putLayer(content, spec)));
}
