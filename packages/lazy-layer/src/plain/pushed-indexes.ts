import type { Repository } from "@lamella/oci-client";
import {
  type CallOptions,
  collectContent,
  type Descriptor,
  type Digest,
  digestOf,
  isDigest,
  MAX_DOCUMENT_BYTES,
  OCI_EMPTY,
  OCI_MANIFEST,
  parseManifest,
} from "@lamella/refs";

import { MAX_INDEX_BYTES } from "./index-layout.js";
import { decodePlainIndex } from "./index-reader.js";
import type { PlainIndexStore } from "./index-store.js";

/** Of the artifact, and of each index in it. */
export const PLAIN_INDEX_TYPE = "application/vnd.lamella.plain-index.v1";
/** On an index: the layer's digest. */
const LAYER_ANNOTATION = "lamella.dev/layer.digest";
/** Of artifacts that somebody may have put beside an image. */
const MAX_ARTIFACTS = 16;

const EMPTY = new TextEncoder().encode("{}");

export interface PushIndexesOptions extends CallOptions {
  /** The image: the manifest of one platform. */
  readonly subject: Descriptor;
  /** Those of its layers, as a `PlainIndexStore` gives them. */
  readonly indexes: readonly Uint8Array[];
}

/**
 * Pushes indexes beside an image, as an artifact whose `subject` it is (image-spec, "Guidelines for Artifact Usage"): whoever trusts it need
 * not read the layers once. Repeating it changes nothing.
 *
 * @throws {LazyLayerError} `index_invalid`; what the repository throws
 */
export async function pushPlainIndexes(
  repository: Pick<Repository, "push" | "pushManifest">,
  { subject, indexes, signal }: PushIndexesOptions,
): Promise<Descriptor> {
  signal?.throwIfAborted();
  const config: Descriptor = { mediaType: OCI_EMPTY, digest: digestOf(EMPTY), size: EMPTY.length };
  await repository.push(config, () => once(EMPTY), { signal });
  const layers: Descriptor[] = [];
  for (const bytes of indexes) {
    const annotations = { [LAYER_ANNOTATION]: decodePlainIndex(bytes).digest };
    const layer = { mediaType: PLAIN_INDEX_TYPE, digest: digestOf(bytes), size: bytes.length, annotations };
    await repository.push(layer, () => once(bytes), { signal });
    layers.push(layer);
  }
  const { mediaType, digest, size } = subject;
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: PLAIN_INDEX_TYPE,
    config,
    layers,
    subject: { mediaType, digest, size },
  };
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  return repository.pushManifest(digestOf(bytes), { bytes, mediaType: OCI_MANIFEST }, { signal });
}

export interface PushedIndexesOptions {
  /** The digest of the image's manifest. */
  readonly subject: Digest;
  /** What was made here: looked at first, and where all that is made is kept. */
  readonly local: PlainIndexStore;
}

/**
 * Indexes that somebody has pushed beside an image, besides those that were made here. Giving this to `openPlainLayer` is to believe
 * whoever can push there: until a layer has been proven (`verifyPlainIndex`), its files are what the index says. They are not kept.
 *
 * Its `get` throws what the repository throws; of an artifact that is none of ours nothing is taken.
 */
export function pushedPlainIndexes(
  repository: Pick<Repository, "referrers" | "fetch">,
  { subject, local }: PushedIndexesOptions,
): PlainIndexStore {
  return {
    async get(digest, options = {}) {
      return (await local.get(digest, options)) ?? find(repository, subject, digest, options);
    },
    put: (digest, index, options) => local.put(digest, index, options),
  };
}

async function find(
  repository: Pick<Repository, "referrers" | "fetch">,
  subject: Digest,
  layer: Digest,
  options: CallOptions,
): Promise<Uint8Array | undefined> {
  let seen = 0;
  for await (const artifact of repository.referrers(subject, { ...options, artifactType: PLAIN_INDEX_TYPE })) {
    if (++seen > MAX_ARTIFACTS) return undefined;
    if (artifact.mediaType !== OCI_MANIFEST) continue;
    const bytes = await collectContent(artifact, repository.fetch(artifact, options), MAX_DOCUMENT_BYTES, options);
    const manifest = parseManifest(bytes, artifact.mediaType);
    if (manifest.subject?.digest !== subject) continue;
    const index = manifest.layers.find((candidate) => layerOf(candidate) === layer);
    if (index !== undefined && index.size <= MAX_INDEX_BYTES)
      return collectContent(index, repository.fetch(index, options), MAX_INDEX_BYTES, options);
  }
  return undefined;
}

function layerOf({ mediaType, annotations = {} }: Descriptor): Digest | undefined {
  const text = Object.hasOwn(annotations, LAYER_ANNOTATION) ? (annotations[LAYER_ANNOTATION] ?? "") : "";
  return mediaType === PLAIN_INDEX_TYPE && isDigest(text) ? text : undefined;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
