import { readPlatformManifest } from "@lamella/oci-client";
import type { ReadDocument } from "@lamella/oci-client";
import {
  collectContent,
  isIndexType,
  isManifestType,
  MAX_DOCUMENT_BYTES,
  pairLayers,
  parseImageConfig,
  parseManifest,
  quote,
} from "@lamella/refs";
import type { CallOptions, Descriptor, Digest, Fetcher, ImageConfig, Manifest, Platform } from "@lamella/refs";

import { ImageStoreError } from "./errors.js";

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
 * @throws {ImageStoreError} `not_image`; what `readPlatformManifest` of the registry client throws; and what the parsers throw.
 */
export async function readImage(fetcher: Fetcher, root: Descriptor, options: ReadImageOptions): Promise<Image> {
  const { descriptor, bytes } = await readManifest(fetcher, root, options);
  const manifest = parseManifest(bytes, descriptor.mediaType);
  const configBytes = fetcher.fetch(manifest.config, options);
  const config = parseImageConfig(await collectContent(manifest.config, configBytes, MAX_DOCUMENT_BYTES, options));
  return { root, descriptor, manifest, config, layers: pairLayers(manifest, config) };
}

async function readManifest(fetcher: Fetcher, root: Descriptor, options: ReadImageOptions): Promise<ReadDocument> {
  if (!isIndexType(root.mediaType)) checkManifest(root);
  const document = await readPlatformManifest(fetcher, root, options);
  checkManifest(document.descriptor);
  return document;
}

function checkManifest({ mediaType, digest }: Descriptor): void {
  if (isManifestType(mediaType)) return;
  throw new ImageStoreError("not_image", `cannot read ${digest} as an image: its media type is ${quote(mediaType)}`);
}
