import { type FileTree, type Layer, mergeLayers, type MergeOptions } from "@lamella/layer-format";
import { findToc } from "@lamella/layer-format/node";
import { type FetchedManifest, readPlatformManifest } from "@lamella/oci-client";
import {
  type CallOptions,
  collectContent,
  type Descriptor,
  hostPlatform,
  type ImageConfig,
  type ImageSource,
  type Manifest,
  MAX_DOCUMENT_BYTES,
  pairLayers,
  parseImageConfig,
  parseManifest,
  type Platform,
  type RangeFetcher,
} from "@lamella/refs";

import { LazyLayerError } from "./errors.js";
import { externalTocs } from "./external-toc.js";
import type { LazyBlob } from "./lazy-blob.js";
import type { PlainIndexStore } from "./plain/index-store.js";
import { openPlainLayer } from "./plain/plain-layer.js";
import { rangesOf } from "./reader-ranges.js";
import type { LayerResolver } from "./resolver.js";
import { isTocPromised } from "./toc-of-blob.js";

/** Where an image lies: a repository of a registry. */
export interface LazyImageSource extends ImageSource, RangeFetcher {
  /** Resolves a name and reads what it stands for with one request, where a source can. */
  fetchManifest?(name: string, options?: CallOptions): Promise<FetchedManifest>;
}

export interface LazyImageOptions extends Pick<MergeOptions, "signal" | "limits"> {
  readonly resolver: LayerResolver;
  /** Indexes of layers that have no table of contents. */
  readonly indexes: PlainIndexStore;
  /** This machine's by default. */
  platform?: Platform | undefined;
  /**
   * Takes tables of contents, too, that no annotation of the image vouches for: until `complete` such a layer may show other files than it has. By default it is
   * read once as a whole, as layers without a table are.
   */
  allowUnvouched?: boolean | undefined;
}

/** An image's layers as they lie in a registry, merged, without a pull. Closing it ends all reads. */
export interface LazyImage extends AsyncDisposable {
  /** Of the platform's manifest. */
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  /** Its reads may take as long as the registry does, or throw `LazyLayerError`; never zeros for what could not be had. */
  readonly tree: FileTree;
  /** Base first, as the manifest has them. */
  readonly layers: readonly LazyBlob[];
}

/** A layer that is open, and the hand on it. */
interface OpenedLayer {
  readonly layer: Layer;
  readonly blob: LazyBlob;
}

/**
 * Opens an image where it lies. Of layers with a table of contents only that is fetched; a layer without one is read once as a whole, for an index that stays.
 *
 * @param name A tag or a digest.
 * @throws what `readPlatformManifest`, the parsers and `mergeLayers` throw
 * @throws {LazyLayerError} `timeout`, `unavailable`; {RefsError} `digest_mismatch` for a table that is not the one that is vouched for
 */
export async function openLazyImage(
  source: LazyImageSource,
  name: string,
  options: LazyImageOptions,
): Promise<LazyImage> {
  const { platform = hostPlatform(), signal, limits } = options;
  signal?.throwIfAborted();
  const { descriptor, bytes } = await readManifest(source, name, { platform, signal });
  const manifest = parseManifest(bytes, descriptor.mediaType);
  const { config, openings } = await openLayers(source, name, manifest, { ...options, platform });
  const opened = openings.flatMap((opening) => (opening.status === "fulfilled" ? [opening.value] : []));
  const close = async (): Promise<void> => {
    for (const { layer } of opened) await layer[Symbol.asyncDispose]();
    for (const { blob } of opened) await blob.done();
  };
  try {
    const failed = openings.find((opening) => opening.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    const tree = await mergeLayers(
      opened.map(({ layer }) => layer),
      { signal, ...(limits !== undefined && { limits }) },
    );
    const layers = opened.map(({ blob }) => blob);
    return {
      descriptor,
      manifest,
      config,
      tree,
      layers,
      async [Symbol.asyncDispose]() {
        await tree[Symbol.asyncDispose]();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openLayers(
  source: LazyImageSource,
  name: string,
  manifest: Manifest,
  options: LazyImageOptions & { platform: Platform },
): Promise<{ config: ImageConfig; openings: PromiseSettledResult<OpenedLayer>[] }> {
  const { resolver, platform, signal } = options;
  const ended = new AbortController();
  const untilEnd = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
  const asking = manifest.layers.map((layer) => askForToc(resolver, source, layer, { signal: untilEnd }));
  try {
    const [config] = await Promise.all([readConfig(source, manifest, { signal }), ...asking]);
    const opener = new LayerOpener(source, externalTocs(source, name, { platform, signal }), options);
    const pairs = pairLayers(manifest, config);
    const openings = await Promise.allSettled(pairs.map((pair) => opener.open(pair.descriptor, pair.diffID)));
    return { config, openings };
  } finally {
    ended.abort();
    for (const asked of await Promise.allSettled(asking)) {
      if (asked.status === "fulfilled") await asked.value?.done();
    }
  }
}

class LayerOpener {
  readonly #source: LazyImageSource;
  readonly #tocs: ReturnType<typeof externalTocs>;
  readonly #options: LazyImageOptions;

  constructor(source: LazyImageSource, tocs: ReturnType<typeof externalTocs>, options: LazyImageOptions) {
    this.#source = source;
    this.#tocs = tocs;
    this.#options = options;
  }

  async open(descriptor: Descriptor, diffID: ImageConfig["diffIDs"][number]): Promise<OpenedLayer> {
    const { allowUnvouched = false } = this.#options;
    const hasToc = isTocPromised(descriptor) || allowUnvouched;
    return (hasToc ? await this.#openByToc(descriptor, diffID) : undefined) ?? this.#openPlain(descriptor, diffID);
  }

  /** Undefined for a layer that has no table, or none that may be taken. */
  async #openByToc(descriptor: Descriptor, diffID: ImageConfig["diffIDs"][number]): Promise<OpenedLayer | undefined> {
    const { resolver, allowUnvouched = false, signal } = this.#options;
    const externalToc = (call: CallOptions): Promise<Uint8Array | undefined> => this.#tocs(descriptor, call);
    try {
      const blob = await resolver.resolve(this.#source, descriptor, { diffID, externalToc, signal });
      if (blob.info().isVouchedFor || allowUnvouched) {
        blob.skipVerify();
        return { layer: blob.layer(), blob };
      }
      await blob.done();
      return undefined;
    } catch (error) {
      if (error instanceof LazyLayerError && error.code === "toc_missing") return undefined;
      throw error;
    }
  }

  async #openPlain(descriptor: Descriptor, diffID: ImageConfig["diffIDs"][number]): Promise<OpenedLayer> {
    const { resolver, indexes, signal } = this.#options;
    const blob = await resolver.resolveBlob(this.#source, descriptor, { diffID, signal });
    try {
      const { memory } = resolver;
      return { layer: await openPlainLayer(blob.reader, { diffID, indexes, memory, signal }), blob };
    } catch (error) {
      await blob.done();
      throw error;
    }
  }
}

async function readManifest(
  source: LazyImageSource,
  name: string,
  options: CallOptions & { platform: Platform },
): Promise<FetchedManifest> {
  const { signal } = options;
  if (source.fetchManifest === undefined)
    return readPlatformManifest(source, await source.resolve(name, { signal }), options);
  const top = await source.fetchManifest(name, { signal });
  const remembering: Pick<ImageSource, "fetch"> = {
    fetch: (wanted, call) => (wanted.digest === top.descriptor.digest ? once(top.bytes) : source.fetch(wanted, call)),
  };
  return readPlatformManifest(remembering, top.descriptor, options);
}

async function readConfig(source: ImageSource, { config }: Manifest, options: CallOptions): Promise<ImageConfig> {
  return parseImageConfig(await collectContent(config, source.fetch(config, options), MAX_DOCUMENT_BYTES, options));
}

/**
 * Asks for the table of a layer, so that it comes while the config does and while other tables are read, which leaves no time for requests. What fails here fails
 * again where it is wanted. Gives a hand on the blob, to be let go of when the layer is open.
 */
async function askForToc(
  resolver: LayerResolver,
  source: LazyImageSource,
  descriptor: Descriptor,
  { signal }: CallOptions,
): Promise<LazyBlob | undefined> {
  if (!isTocPromised(descriptor)) return undefined;
  const blob = await resolver.resolveBlob(source, descriptor, { diffID: descriptor.digest, signal });
  const toc = await findToc(rangesOf(blob.reader), descriptor, { signal }).catch(() => undefined);
  if (toc !== undefined) readAll(blob.readAt(toc.offset, toc.length, { signal })).catch(() => undefined);
  return blob;
}

async function readAll(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of bytes);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
