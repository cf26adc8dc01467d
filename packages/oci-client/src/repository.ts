import {
  type BlobPiece,
  type BlobRange,
  type CallOptions,
  type Descriptor,
  type Digest,
  type ImageSource,
  isDocumentType,
  type RangeFetcher,
  verifyContent,
} from "@lamella/refs";

import { downloadBlob } from "./blob-download.js";
import { blobPlaces } from "./blob-places.js";
import { downloadRanges } from "./blob-ranges.js";
import { gather } from "./body.js";
import { type FetchedManifest, fetchNamedManifest, fetchPromisedManifest, resolveManifest } from "./manifest-pull.js";
import { mountBlob, pushBlob, type PushOptions, type RepositoryAddress } from "./blob-upload.js";
import { deleteBlob, deleteManifest } from "./delete.js";
import type { ImageSink } from "./image-sink.js";
import { type PushContent, pushManifestContent, putManifest } from "./push.js";
import { listReferrers, type ReferrersOptions } from "./referrers.js";
import type { Session } from "./session.js";
import { type ListOptions, listTags } from "./tags.js";

export interface FetchOptions extends CallOptions {
  /**
   * Each chunk is only looked at until the next one is asked for, and never again: its memory is then read into once more. Chunks may
   * have any size.
   */
  isLent?: boolean | undefined;
}

/**
 * One repository of a registry. Every method may reject with an `OciClientError`; content that is not what its descriptor promised
 * is a `RefsError`, `digest_mismatch` or `size_mismatch`.
 */
export interface Repository extends ImageSource, ImageSink, RangeFetcher {
  readonly address: RepositoryAddress;
  /** The descriptor behind a tag or digest now: resolve once, then go by its digest. */
  resolve(name: string, options?: CallOptions): Promise<Descriptor>;
  /**
   * A blob or, by its media type, a manifest, streamed and verified. A body that breaks midway is resumed. Chunks have 64 KiB or more,
   * but for the last.
   */
  fetch(descriptor: Descriptor, options?: FetchOptions): AsyncIterable<Uint8Array>;
  /**
   * A part of a blob, resumed when the connection breaks.
   * @throws {OciClientError} `range_unusable` when the registry ignores ranges or answers another one; nothing of it was given out then
   * @throws {RangeError} for a range that is not within the descriptor's size
   */
  fetchRange(descriptor: Descriptor, range: BlobRange, options?: CallOptions): AsyncIterable<Uint8Array>;
  /**
   * Parts of a blob with one request, as one `multipart/byteranges`. Of the first place that blobs are read from alone, and not resumed: whoever misses one asks for
   * it by `fetchRange`.
   * @throws {OciClientError} `range_unusable` when the registry does not answer several ranges, or others
   * @throws {RangeError} for a range that is not within the descriptor's size
   */
  fetchRanges(descriptor: Descriptor, ranges: readonly BlobRange[], options?: CallOptions): AsyncIterable<BlobPiece>;
  /** A manifest or an index with one request, at most 4 MiB; by digest or descriptor, verified. */
  fetchManifest(name: string | Descriptor, options?: CallOptions): Promise<FetchedManifest>;
  /**
   * A blob or, by its media type, a manifest under its digest. What the registry has is not sent again. Content that can be asked for
   * again is sent again after a failure that may pass.
   */
  push(descriptor: Descriptor, content: PushContent, options?: PushOptions): Promise<void>;
  /**
   * Puts a manifest under a tag or its digest; a tag moves. What it refers to must be there. One with a `subject` is listed under the
   * referrers tag when the registry does not list referrers itself.
   */
  pushManifest(
    name: string,
    manifest: { bytes: Uint8Array; mediaType: string },
    options?: CallOptions,
  ): Promise<Descriptor>;
  /** Makes a blob of another repository of this registry one of this repository; false when the registry does not lend it. */
  mount(descriptor: Pick<Descriptor, "digest">, from: RepositoryAddress, options?: CallOptions): Promise<boolean>;
  /** All tags, in the registry's order. */
  tags(options?: ListOptions): AsyncIterable<string>;
  /** The manifests that refer to this one by their `subject`, from the registry's API or the referrers tag. */
  referrers(subject: Digest, options?: ReferrersOptions): AsyncIterable<Descriptor>;
  /** Removes a tag, or by digest a manifest with all its tags. Many registries allow neither: `rejected`, or `denied`. */
  delete(name: string, options?: CallOptions): Promise<void>;
  /** Removes a blob, even one that a manifest refers to. */
  deleteBlob(digest: Digest, options?: CallOptions): Promise<void>;
}

/** @param blobSources Where blobs are read from, one after another until one serves. */
export function openRepository(session: Session, blobSources: readonly Session[] = [session]): Repository {
  return {
    address: { registry: session.registry.origin, path: session.path },
    resolve: async (name, options = {}) => resolveManifest(session, name, options),
    fetch: (descriptor, options = {}) => fetchContent(session, blobSources, descriptor, options),
    fetchRange: (descriptor, range, options = {}) => fetchRange(blobSources, descriptor, range, options),
    fetchRanges: (descriptor, ranges, options = {}) =>
      downloadRanges(blobPlaces(blobSources, descriptor), descriptor, ranges, options),
    fetchManifest: async (name, options = {}) =>
      typeof name === "string"
        ? fetchNamedManifest(session, name, options)
        : fetchPromisedManifest(session, name, options),
    push: async (descriptor, content, options = {}) =>
      isDocumentType(descriptor.mediaType)
        ? pushManifestContent(session, descriptor, content, options)
        : pushBlob(session, descriptor, content, options),
    pushManifest: async (name, manifest, options = {}) => putManifest(session, name, manifest, options),
    mount: async (descriptor, from, options = {}) => mountBlob(session, descriptor, from, options),
    tags: (options = {}) => listTags(session, options),
    referrers: (subject, options = {}) => listReferrers(session, subject, options),
    delete: async (name, options = {}) => deleteManifest(session, name, options),
    deleteBlob: async (digest, options = {}) => deleteBlob(session, digest, options),
  };
}

async function* fetchRange(
  sources: readonly Session[],
  descriptor: Descriptor,
  range: BlobRange,
  { signal }: CallOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted();
  yield* gather(downloadBlob(blobPlaces(sources, descriptor), descriptor, { signal, range }));
}

async function* fetchContent(
  session: Session,
  blobSources: readonly Session[],
  descriptor: Descriptor,
  options: FetchOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  if (isDocumentType(descriptor.mediaType)) {
    yield (await fetchPromisedManifest(session, descriptor, options)).bytes;
  } else {
    const bytes = downloadBlob(blobPlaces(blobSources, descriptor), descriptor, options);
    yield* verifyContent(descriptor, options.isLent === true ? bytes : gather(bytes), options);
  }
}
