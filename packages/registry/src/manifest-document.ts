import {
  detectMediaType,
  isDocumentType,
  isIndexType,
  isNondistributableType,
  parseIndex,
  parseManifest,
} from "@lamella/refs";
import type { CallOptions, Descriptor, Digest } from "@lamella/refs";

import { RegistryError } from "./errors.js";
import type { BlobStorage, ManifestStorage } from "./storage.js";

/** What a registry has to know of a manifest or an index. */
export interface ManifestDocument {
  readonly mediaType: string;
  /** Content that has to be there: the config and the layers, less those that no registry holds; what an index has besides manifests. */
  readonly blobs: readonly Descriptor[];
  /** Documents that have to be there: an index's. */
  readonly manifests: readonly Descriptor[];
  /** What it refers to, which may come later, or never. */
  readonly subject: Digest | undefined;
  /** What it is listed as among its subject's referrers: of a manifest without a type of its own, that of its config. */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

/**
 * Validates a manifest or an index that is of the type that its Content-Type says; without one, of the type that it says itself.
 * Throws what refs' parsers throw: `document_invalid`, `document_too_large`.
 */
export function parseDocument(bytes: Uint8Array, contentType: string | undefined): ManifestDocument {
  const claimed = contentType?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const type = claimed === "" ? detectMediaType(bytes) : claimed;
  if (isIndexType(type)) {
    const { mediaType, manifests: children, subject, artifactType, annotations } = parseIndex(bytes, type);
    const manifests = children.filter((child) => isDocumentType(child.mediaType));
    const blobs = children.filter((child) => !isDocumentType(child.mediaType));
    return { mediaType, blobs, manifests, subject: subject?.digest, artifactType, annotations };
  }
  const { mediaType, config, layers, subject, artifactType, annotations } = parseManifest(bytes, type);
  const held = layers.filter((layer) => !isNondistributableType(layer.mediaType));
  const listedAs = artifactType ?? config.mediaType;
  const blobs = [config, ...held];
  return { mediaType, blobs, manifests: [], subject: subject?.digest, artifactType: listedAs, annotations };
}

export interface CheckReferencesOptions extends CallOptions {
  readonly blobs: BlobStorage;
  readonly manifests: ManifestStorage;
}

/**
 * Throws `manifest_reference_unknown` when something that the document refers to is missing, a child of an index also when it
 * is only in another repository; `manifest_invalid` when its size is another than the document says.
 */
export async function checkReferences(
  document: ManifestDocument,
  repository: string,
  options: CheckReferencesOptions,
): Promise<void> {
  const { blobs, manifests, signal } = options;
  for (const blob of document.blobs) checkSize(blob, await blobs.stat(repository, blob.digest, { signal }));
  for (const manifest of document.manifests) {
    checkSize(manifest, (await manifests.resolve(repository, manifest.digest, { signal }))?.size);
  }
}

function checkSize({ digest, size }: Descriptor, actual: number | undefined): void {
  if (actual === undefined) {
    throw new RegistryError(
      "manifest_reference_unknown",
      `cannot put manifest: it refers to ${digest}, which is missing`,
    );
  }
  if (actual !== size) {
    throw new RegistryError("manifest_invalid", `cannot put manifest: ${digest} has ${actual} bytes, not ${size}`);
  }
}
