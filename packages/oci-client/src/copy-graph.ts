import {
  type CallOptions,
  collectContent,
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageSource,
  isDocumentType,
  isIndexType,
  MAX_DOCUMENT_BYTES,
  parseIndex,
  parseManifest,
  type Platform,
  RefsError,
  selectPlatform,
} from "@lamella/refs";

import { OciClientError } from "./errors.js";

/** A manifest or an index to copy. */
export interface CopyDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** Everything that an image consists of, in an order in which it can be pushed. */
export interface CopyGraph {
  readonly root: CopyDocument;
  /** Configs and layers, each digest once. */
  readonly blobs: readonly Descriptor[];
  /** All documents but the root; those of one level refer only to levels before it. */
  readonly levels: readonly (readonly CopyDocument[])[];
}

/** Docker and BuildKit nest one deep. */
const MAX_NESTING = 8;
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
  const levels: CopyDocument[][] = [];
  const heights = new Map<Digest, number>();
  let totalBytes = 0;

  async function read(descriptor: Descriptor): Promise<CopyDocument> {
    totalBytes += descriptor.size;
    if (totalBytes > MAX_DOCUMENTS_BYTES) {
      const state = `its manifests are over the limit of ${MAX_DOCUMENTS_BYTES} bytes`;
      throw new OciClientError("too_large", `cannot read ${top.digest}: ${state}`);
    }
    const bytes = await collectContent(descriptor, source.fetch(descriptor, options), MAX_DOCUMENT_BYTES, options);
    return { descriptor, bytes };
  }

  /** Gives the height of a document above its blobs, after noting all that is below it. */
  async function visit(document: CopyDocument, depth: number): Promise<number> {
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

  async function narrow(wanted: Platform): Promise<CopyDocument> {
    let document = await read(top);
    for (let depth = 0; isIndexType(document.descriptor.mediaType); depth++) {
      if (depth === MAX_NESTING) throw tooDeep(top.digest);
      document = await read(choose(document, wanted));
    }
    return document;
  }

  const root = platform === undefined ? await read(top) : await narrow(platform);
  await visit(root, 0);
  return { root, blobs: [...blobs.values()], levels: levels.map((level) => level ?? []) };
}

function tooDeep(digest: Digest): OciClientError {
  return new OciClientError("unsupported", `cannot read ${digest}: its indexes nest deeper than ${MAX_NESTING}`);
}

/** An index within the index is looked into only when no manifest beside it fits. */
function choose({ descriptor, bytes }: CopyDocument, platform: Platform): Descriptor {
  const { manifests } = parseIndex(bytes, descriptor.mediaType);
  const chosen = selectPlatform(manifests, platform) ?? soleIndex(manifests);
  if (chosen !== undefined) return chosen;
  const offered = manifests.flatMap((manifest) =>
    manifest.platform === undefined ? [] : [formatPlatform(manifest.platform)],
  );
  const state = offered.length === 0 ? "it names none" : `it has ${[...new Set(offered)].join(", ")}`;
  const message = `cannot find platform ${formatPlatform(platform)} in ${descriptor.digest}: ${state}`;
  throw new OciClientError("platform_unavailable", message);
}

function soleIndex(manifests: readonly Descriptor[]): Descriptor | undefined {
  const indexes = manifests.filter(({ mediaType }) => isIndexType(mediaType));
  return indexes.length === 1 ? indexes[0] : undefined;
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
