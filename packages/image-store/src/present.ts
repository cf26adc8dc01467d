import {
  collectContent,
  isConfigType,
  isIndexType,
  isManifestType,
  MAX_DOCUMENT_BYTES,
  pairLayers,
  parseImageConfig,
  parseIndex,
  parseManifest,
  RefsError,
} from "@lamella/refs";
import type { CallOptions, Descriptor, Digest, Manifest } from "@lamella/refs";

import type { ContentStore } from "./content-store.js";
import type { Image } from "./image.js";

/** What of a manifest or an index a store has. */
export interface Present {
  /** Of each platform that is whole. */
  readonly images: readonly Image[];
  /** Whatever the documents name that are there, the root included, whether it is there or not. */
  readonly blobs: ReadonlySet<Digest>;
}

/** Indexes within indexes beyond this are not looked into. */
const MAX_NESTING = 8;

/** Looks what of a manifest or an index is there. Only documents are read and verified; of layers it is the size that counts. */
export async function readPresent(
  content: ContentStore,
  root: Descriptor,
  options: CallOptions = {},
): Promise<Present> {
  const blobs = new Set<Digest>();
  const images: Image[] = [];
  let level: readonly Descriptor[] = [root];
  for (let depth = 0; depth <= MAX_NESTING && level.length > 0; depth++) {
    const next: Descriptor[] = [];
    for (const descriptor of level) {
      if (blobs.has(descriptor.digest)) continue;
      blobs.add(descriptor.digest);
      const bytes = await readWhole(content, descriptor, options);
      if (bytes === undefined) continue;
      if (isIndexType(descriptor.mediaType)) next.push(...parseIndex(bytes, descriptor.mediaType).manifests);
      if (!isManifestType(descriptor.mediaType)) continue;
      const manifest = parseManifest(bytes, descriptor.mediaType);
      for (const { digest } of [manifest.config, ...manifest.layers]) blobs.add(digest);
      const image = await readImageOf(content, { root, descriptor, manifest }, options);
      if (image !== undefined) images.push(image);
    }
    level = next;
  }
  return { images, blobs };
}

async function readImageOf(
  content: ContentStore,
  documents: { root: Descriptor; descriptor: Descriptor; manifest: Manifest },
  options: CallOptions,
): Promise<Image | undefined> {
  const { manifest } = documents;
  if (!isConfigType(manifest.config.mediaType)) return undefined;
  for (const { digest, size } of manifest.layers) if ((await content.stat(digest, options)) !== size) return undefined;
  const bytes = await readWhole(content, manifest.config, options);
  if (bytes === undefined) return undefined;
  try {
    const config = parseImageConfig(bytes);
    return { ...documents, config, layers: pairLayers(manifest, config) };
  } catch (error) {
    // an artifact may borrow the media type of an image's config
    if (error instanceof RefsError) return undefined;
    throw error;
  }
}

/** A document that is there, whole and undamaged. */
async function readWhole(
  content: ContentStore,
  descriptor: Descriptor,
  options: CallOptions,
): Promise<Uint8Array | undefined> {
  if ((await content.stat(descriptor.digest, options)) !== descriptor.size) return undefined;
  try {
    return await collectContent(descriptor, content.fetch(descriptor, options), MAX_DOCUMENT_BYTES, options);
  } catch (error) {
    if (error instanceof RefsError) return undefined;
    throw error;
  }
}
