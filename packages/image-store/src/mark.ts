import {
  detectMediaType,
  digestAlgorithm,
  digestOf,
  isDocumentType,
  isIndexType,
  isManifestType,
  MAX_DOCUMENT_BYTES,
  parseIndex,
  parseManifest,
  RefsError,
} from "@lamella/refs";
import type { CallOptions, Descriptor, Digest } from "@lamella/refs";

import type { ContentStore } from "./content-store.js";
import { ImageStoreError } from "./errors.js";

/**
 * The blobs that must stay: those that were added, whatever the indexes and manifests among them lead to, subjects too, and the
 * referrers that were made known of any of them, with what those lead to.
 */
export interface Marks {
  has(digest: Digest): boolean;
  /** Marks blobs and does not look into them. */
  add(digests: Iterable<Digest>): void;
  /**
   * Marks documents and all that they lead to. One that is not there leads nowhere.
   * @throws {ImageStoreError} `store_invalid` for one that is damaged: nobody can tell what it led to
   */
  follow(documents: Iterable<Digest>, options?: CallOptions): Promise<void>;
  /** Marks those of the blobs, which nothing else has marked, that are referrers of marked ones. */
  followReferrers(among: Iterable<Digest>, options?: CallOptions): Promise<void>;
}

/** What a document names. */
interface Links {
  readonly children: readonly Descriptor[];
  readonly subject: Digest | undefined;
}

/** Each document is read once, however often it is followed. */
export function createMarks(content: ContentStore): Marks {
  const marked = new Set<Digest>();
  const followed = new Set<Digest>();
  const referrers = new Map<Digest, Digest[]>();
  const pending: Digest[] = [];

  function mark(digest: Digest): void {
    if (marked.has(digest)) return;
    marked.add(digest);
    pending.push(...(referrers.get(digest) ?? []));
  }

  async function followPending(options: CallOptions): Promise<void> {
    for (let digest = pending.pop(); digest !== undefined; digest = pending.pop()) {
      mark(digest);
      if (followed.has(digest)) continue;
      const bytes = await readDocument(content, digest, options);
      if (bytes === undefined) continue;
      followed.add(digest);
      const { children, subject } = linksOf(bytes);
      for (const child of children) {
        mark(child.digest);
        if (isDocumentType(child.mediaType)) pending.push(child.digest);
      }
      if (subject !== undefined) pending.push(subject);
    }
  }

  return {
    has: (digest) => marked.has(digest),
    add(digests) {
      for (const digest of digests) mark(digest);
    },
    async follow(documents, options = {}) {
      options.signal?.throwIfAborted();
      pending.push(...documents);
      await followPending(options);
    },
    async followReferrers(among, options = {}) {
      options.signal?.throwIfAborted();
      for (const digest of among) {
        const subject = await subjectOf(content, digest, options);
        if (subject === undefined) continue;
        const known = referrers.get(subject);
        if (known === undefined) referrers.set(subject, [digest]);
        else known.push(digest);
        if (marked.has(subject)) pending.push(digest);
      }
      await followPending(options);
    },
  };
}

/** What a blob leads to; nothing, if it is no document that could be read as one. */
function linksOf(bytes: Uint8Array): Links {
  try {
    const mediaType = detectMediaType(bytes);
    if (isIndexType(mediaType)) {
      const { manifests, subject } = parseIndex(bytes);
      return { children: manifests, subject: subject?.digest };
    }
    if (isManifestType(mediaType)) {
      const { config, layers, subject } = parseManifest(bytes);
      return { children: [config, ...layers], subject: subject?.digest };
    }
  } catch (error) {
    if (!(error instanceof RefsError)) throw error;
  }
  return { children: [], subject: undefined };
}

/** A document that is there; undefined for what is too large to be one. @throws {ImageStoreError} `store_invalid` where it is damaged */
async function readDocument(
  content: ContentStore,
  digest: Digest,
  options: CallOptions,
): Promise<Uint8Array | undefined> {
  const bytes = await readSmall(content, digest, options);
  if (bytes === undefined || digestOf(bytes, digestAlgorithm(digest)) === digest) return bytes;
  const state = "it is damaged, and names blobs that nobody else may name; check --repair drops it";
  throw new ImageStoreError("store_invalid", `cannot follow ${digest}: ${state}`);
}

/** The subject of a blob that nothing is known of. */
async function subjectOf(content: ContentStore, digest: Digest, options: CallOptions): Promise<Digest | undefined> {
  const bytes = await readSmall(content, digest, { ...options, isWanted: mayBeJson }).catch((error: unknown) => {
    // it is no file
    if (error instanceof ImageStoreError) return undefined;
    throw error;
  });
  if (bytes === undefined || digestOf(bytes, digestAlgorithm(digest)) !== digest) return undefined;
  return linksOf(bytes).subject;
}

/** Most blobs are no documents, which their first byte tells. */
function mayBeJson(chunk: Uint8Array): boolean {
  return "{ \t\r\n".includes(String.fromCharCode(chunk[0] ?? 0));
}

interface ReadSmallOptions extends CallOptions {
  /** Asked with the first bytes. */
  isWanted?: (chunk: Uint8Array) => boolean;
}

/** The bytes of a blob, if it is there, not larger than a document and wanted. */
async function readSmall(
  content: ContentStore,
  digest: Digest,
  { isWanted, ...options }: ReadSmallOptions,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of content.readRange(digest, 0, MAX_DOCUMENT_BYTES + 1, options)) {
      if (size === 0 && isWanted?.(chunk) === false) return undefined;
      size += chunk.length;
      if (size > MAX_DOCUMENT_BYTES) return undefined;
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof ImageStoreError && error.code === "not_found") return undefined;
    throw error;
  }
  return Buffer.concat(chunks);
}
