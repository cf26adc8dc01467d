import {
  type CallOptions,
  type Descriptor,
  type Digest,
  type ImageSource,
  isDocumentType,
  isIndexType,
  MAX_DOCUMENT_BYTES,
  parseIndex,
  parseManifest,
  type Platform,
  RefsError,
} from "@lamella/refs";

import { OciClientError } from "./errors.js";
import { MAX_NESTING, readDocument, type ReadDocument, readPlatformManifest, tooDeep } from "./platform-manifest.js";

/** Everything that an image consists of, in an order in which it can be pushed. */
export interface CopyGraph {
  readonly root: ReadDocument;
  /** Configs and layers, each digest once. */
  readonly blobs: readonly Descriptor[];
  /** All documents but the root; those of one level refer only to levels before it. */
  readonly levels: readonly (readonly ReadDocument[])[];
}

/** All manifests of one image together: they are held until their content is there. */
const MAX_DOCUMENTS_BYTES: number = 16 * MAX_DOCUMENT_BYTES;

/**
 * Reads the documents of an image, verified. With a platform, indexes are passed through down to the one manifest that fits.
 *
 * @throws {OciClientError} `platform_unavailable`, `too_large` for more than 64 MiB of documents, `unsupported` for indexes that
 * nest deeper than 8
 * @throws {RefsError} `document_invalid`, `digest_mismatch`, `size_mismatch`
 */
export async function readGraph(
  source: ImageSource,
  top: Descriptor,
  { platform, ...options }: CallOptions & { platform?: Platform | undefined },
): Promise<CopyGraph> {
  const blobs = new Map<Digest, Descriptor>();
  const levels: ReadDocument[][] = [];
  const heights = new Map<Digest, number>();
  let totalBytes = 0;

  async function read(descriptor: Descriptor): Promise<ReadDocument> {
    totalBytes += descriptor.size;
    if (totalBytes > MAX_DOCUMENTS_BYTES) {
      const state = `its manifests are over the limit of ${MAX_DOCUMENTS_BYTES} bytes`;
      throw new OciClientError("too_large", `cannot read ${top.digest}: ${state}`);
    }
    return readDocument(source, descriptor, options);
  }

  /** Gives the height of a document above its blobs, after noting all that is below it. */
  async function visit(document: ReadDocument, depth: number): Promise<number> {
    const { digest, mediaType } = document.descriptor;
    if (depth > MAX_NESTING) throw tooDeep(digest);
    let height = 0;
    for (const child of childrenOf(document.bytes, mediaType)) {
      if (isDocumentType(child.mediaType)) {
        const known = heights.get(child.digest);
        height = Math.max(height, 1 + (known ?? (await visitChild(child, depth + 1))));
      } else note(blobs, child);
    }
    heights.set(digest, height);
    return height;
  }

  async function visitChild(descriptor: Descriptor, depth: number): Promise<number> {
    const document = await read(descriptor);
    const height = await visit(document, depth);
    (levels[height] ??= []).push(document);
    return height;
  }

  const root =
    platform === undefined ? await read(top) : await readPlatformManifest(source, top, { platform, ...options });
  await visit(root, 0);
  return { root, blobs: [...blobs.values()], levels: levels.map((level) => level ?? []) };
}

function childrenOf(bytes: Uint8Array, mediaType: string): readonly Descriptor[] {
  if (isIndexType(mediaType)) return parseIndex(bytes, mediaType).manifests;
  const { config, layers } = parseManifest(bytes, mediaType);
  return [config, ...layers];
}

function note(blobs: Map<Digest, Descriptor>, blob: Descriptor): void {
  const known = blobs.get(blob.digest);
  if (known === undefined) blobs.set(blob.digest, blob);
  else if (known.size !== blob.size) {
    const state = `one descriptor says ${known.size} bytes, another ${blob.size}`;
    throw new RefsError("size_mismatch", `cannot read ${blob.digest}: ${state}`);
  }
}
