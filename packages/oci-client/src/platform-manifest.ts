import {
  type CallOptions,
  collectContent,
  type Descriptor,
  type Digest,
  type Fetcher,
  formatPlatform,
  isIndexType,
  MAX_DOCUMENT_BYTES,
  parseIndex,
  type Platform,
  selectPlatform,
} from "@lamella/refs";

import { OciClientError } from "./errors.js";

/** A manifest or an index with its bytes, verified. */
export interface ReadDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** Docker and BuildKit nest one deep. */
export const MAX_NESTING = 8;

/**
 * Goes down from an index to the one manifest for a platform; what is no index is read as it stands, whatever its platform. An index
 * within an index is looked into only when no manifest beside it fits.
 *
 * @throws {OciClientError} `platform_unavailable`; `unsupported` for indexes that nest deeper than 8
 * @throws {RefsError} `document_invalid`, `document_too_large`, `digest_mismatch`, `size_mismatch`
 */
export async function readPlatformManifest(
  source: Fetcher,
  top: Descriptor,
  { platform, ...options }: CallOptions & { platform: Platform },
): Promise<ReadDocument> {
  let document = await readDocument(source, top, options);
  for (let depth = 0; isIndexType(document.descriptor.mediaType); depth++) {
    if (depth === MAX_NESTING) throw tooDeep(top.digest);
    document = await readDocument(source, choose(document, platform), options);
  }
  return document;
}

export async function readDocument(
  source: Fetcher,
  descriptor: Descriptor,
  options: CallOptions,
): Promise<ReadDocument> {
  const bytes = await collectContent(descriptor, source.fetch(descriptor, options), MAX_DOCUMENT_BYTES, options);
  return { descriptor, bytes };
}

export function tooDeep(digest: Digest): OciClientError {
  return new OciClientError("unsupported", `cannot read ${digest}: its indexes nest deeper than ${MAX_NESTING}`);
}

function choose({ descriptor, bytes }: ReadDocument, platform: Platform): Descriptor {
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
