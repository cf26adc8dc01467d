import { join } from "node:path";

import { type Descriptor, digestOf, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from "@lamella/refs";

import {
  createLayerResolver,
  type LayerResolverOptions,
  type LazyImage,
  type LazyImageOptions,
  type LazyImageSource,
  openBlobCache,
  openLazyImage,
  openPlainIndexStore,
} from "../src/index.js";
import { memorySource, type MemorySource } from "./memory-source.js";
import type { MadeLayer } from "./toc-layers.js";

export interface TestImageSource extends LazyImageSource {
  /** In the image's order. */
  readonly layers: readonly MemorySource[];
  /** What was asked for by name or digest, documents only. */
  readonly asked: string[];
}

export interface ImageSourceOptions {
  /** What the descriptors of external tables say that they have. */
  externalTocBytes?: number;
  /** Whether the tag is that of an index. */
  isIndex?: boolean;
  /** As a registry's repository has it. */
  hasFetchManifest?: boolean;
}

type Blob = Pick<MadeLayer, "bytes" | "annotations" | "diffID"> & Partial<Pick<MadeLayer, "externalToc">>;

/** A repository in memory with one image, `v1`, and the image of its external tables, if it has some. */
export function imageSource(layers: readonly Blob[], options: ImageSourceOptions = {}): TestImageSource {
  const documents = new Map<string, Uint8Array>();
  const sources = layers.map(({ bytes, annotations }) => memorySource(bytes, { annotations }));
  const asked: string[] = [];

  function put(mediaType: string, document: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = digestOf(bytes);
    documents.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  function image(descriptors: readonly Descriptor[], diffIDs: readonly string[]): Descriptor {
    const config = put(OCI_CONFIG, {
      os: "linux",
      architecture: "amd64",
      config: {},
      rootfs: { type: "layers", diff_ids: diffIDs },
    });
    return put(OCI_MANIFEST, { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: descriptors });
  }

  const manifest = image(
    sources.map(({ descriptor }) => descriptor),
    layers.map(({ diffID }) => diffID),
  );
  const root = options.isIndex
    ? put(OCI_INDEX, {
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [{ ...manifest, platform: { os: "linux", architecture: "amd64" } }],
      })
    : manifest;
  const tags = new Map<string, Descriptor>([["v1", root]]);
  const tables = layers.flatMap(({ externalToc }, index) => {
    if (externalToc === undefined) return [];
    const digest = digestOf(externalToc);
    documents.set(digest, externalToc);
    const annotations = { "containerd.io/snapshot/stargz/layer.digest": sources[index]?.descriptor.digest ?? "" };
    return [{ mediaType: OCI_LAYER_GZIP, digest, size: options.externalTocBytes ?? externalToc.length, annotations }];
  });
  if (tables.length > 0) tags.set("v1-esgztoc", image(tables, []));

  function find(name: string): Descriptor {
    asked.push(name);
    const descriptor = tags.get(name) ?? (name === root.digest ? root : undefined);
    if (descriptor === undefined) throw Object.assign(new Error(`no ${name}`), { code: "not_found" });
    return descriptor;
  }

  const layerOf = ({ digest }: Descriptor): MemorySource | undefined =>
    sources.find(({ descriptor }) => descriptor.digest === digest);

  return {
    layers: sources,
    asked,
    resolve: async (name, { signal } = {}) => {
      signal?.throwIfAborted();
      return find(name);
    },
    async *fetch(descriptor, call = {}) {
      call.signal?.throwIfAborted();
      const document = documents.get(descriptor.digest);
      const layer = layerOf(descriptor);
      if (document !== undefined) {
        asked.push(descriptor.mediaType);
        yield document;
      } else if (layer !== undefined) yield* layer.fetch(descriptor, call);
      else throw Object.assign(new Error("no such blob"), { code: "not_found" });
    },
    fetchRange(descriptor, range, call) {
      const layer = layerOf(descriptor);
      if (layer === undefined) throw new Error("no such blob");
      return layer.fetchRange(descriptor, range, call);
    },
    ...(options.hasFetchManifest && {
      fetchManifest: async (name: string) => {
        const descriptor = find(name);
        return { descriptor, bytes: documents.get(descriptor.digest) ?? new Uint8Array() };
      },
    }),
  };
}

export async function openTestImage(
  source: LazyImageSource,
  directory: string,
  options: Partial<LazyImageOptions> & Partial<LayerResolverOptions> & { name?: string } = {},
): Promise<LazyImage> {
  const { name = "v1", timeoutMs = 5000, cache = await openBlobCache(join(directory, "blobs")), ...rest } = options;
  const resolver = createLayerResolver({ cache, timeoutMs });
  try {
    const image = await openLazyImage(source, name, {
      resolver,
      indexes: await openPlainIndexStore(join(directory, "indexes")),
      platform: { os: "linux", architecture: "amd64" },
      ...rest,
    });
    return {
      ...image,
      async [Symbol.asyncDispose]() {
        await image[Symbol.asyncDispose]();
        await resolver.close();
      },
    };
  } catch (error) {
    await resolver.close();
    throw error;
  }
}
