import {
  collectContent,
  formatPlatform,
  isIndexType,
  isManifestType,
  MAX_DOCUMENT_BYTES,
  pairLayers,
  parseImageConfig,
  parseIndex,
  parseManifest,
  quote,
  selectPlatform,
} from "@lamella/refs";
import type { CallOptions, Descriptor, Digest, Fetcher, ImageConfig, Manifest, Platform } from "@lamella/refs";

import { ImageStoreError } from "./errors.js";

/** An index may name an index; nobody needs more than this. */
const MAX_INDEX_DEPTH = 2;

/** The documents of one image for one platform. */
export interface Image {
  /** What the reference resolved to: an index, or the manifest itself. */
  readonly root: Descriptor;
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  /** The layers, base first. The same layer may occur twice. */
  readonly layers: readonly ImageLayer[];
}

export interface ImageLayer {
  readonly descriptor: Descriptor;
  /** The digest of the uncompressed tar. */
  readonly diffID: Digest;
}

export interface ReadImageOptions extends CallOptions {
  platform: Platform;
}

/**
 * Reads index, manifest and config, each verified, and picks the platform.
 * @throws {ImageStoreError} `platform_unavailable`, `not_image`, `index_too_deep`; and what the fetcher and the parsers throw.
 */
export async function readImage(fetcher: Fetcher, root: Descriptor, options: ReadImageOptions): Promise<Image> {
  const descriptor = await selectManifest(fetcher, root, options);
  const manifest = parseManifest(await readDocument(fetcher, descriptor, options), descriptor.mediaType);
  const config = parseImageConfig(await readDocument(fetcher, manifest.config, options));
  return { root, descriptor, manifest, config, layers: pairLayers(manifest, config) };
}

async function selectManifest(fetcher: Fetcher, root: Descriptor, options: ReadImageOptions): Promise<Descriptor> {
  let descriptor = root;
  for (let depth = 0; isIndexType(descriptor.mediaType); depth++) {
    if (depth === MAX_INDEX_DEPTH) {
      throw new ImageStoreError(
        "index_too_deep",
        `cannot read image ${root.digest}: more than ${depth} nested indexes`,
      );
    }
    const { manifests } = parseIndex(await readDocument(fetcher, descriptor, options), descriptor.mediaType);
    const chosen = selectPlatform(manifests, options.platform);
    if (chosen === undefined) {
      const offered = manifests.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)]));
      throw new ImageStoreError(
        "platform_unavailable",
        `cannot find platform ${formatPlatform(options.platform)} in ${root.digest}: it has ${offered.join(", ") || "none"}`,
      );
    }
    descriptor = chosen;
  }
  if (isManifestType(descriptor.mediaType)) return descriptor;
  throw new ImageStoreError(
    "not_image",
    `cannot read ${descriptor.digest} as an image: its media type is ${quote(descriptor.mediaType)}`,
  );
}

function readDocument(fetcher: Fetcher, descriptor: Descriptor, options: CallOptions): Promise<Uint8Array> {
  return collectContent(descriptor, fetcher.fetch(descriptor, options), MAX_DOCUMENT_BYTES, options);
}
