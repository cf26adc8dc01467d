import {
  type CallOptions,
  type Descriptor,
  type ImageSource,
  isDocumentType,
  type Pusher,
  verifyContent,
} from "@lamella/refs";

import { downloadBlob } from "./blob-download.js";
import { gather } from "./body.js";
import { type FetchedManifest, fetchNamedManifest, fetchPromisedManifest, resolveManifest } from "./manifest-pull.js";
import { pushBlob, pushManifestContent, putManifest } from "./push.js";
import type { Session } from "./session.js";
import { listTags } from "./tags.js";

/**
 * One repository of a registry. Every method may reject with an `OciClientError`; content that is not what its descriptor promised
 * is a `RefsError`, `digest_mismatch` or `size_mismatch`.
 */
export interface Repository extends ImageSource, Pusher {
  /** The descriptor behind a tag or digest now: resolve once, then go by its digest. */
  resolve(name: string, options?: CallOptions): Promise<Descriptor>;
  /**
   * A blob or, by its media type, a manifest, streamed and verified. A body that breaks midway is resumed. Chunks have 64 KiB or more,
   * but for the last.
   */
  fetch(descriptor: Descriptor, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** A manifest or an index with one request, at most 4 MiB; by digest or descriptor, verified. */
  fetchManifest(name: string | Descriptor, options?: CallOptions): Promise<FetchedManifest>;
  /** A blob or, by its media type, a manifest under its digest. What the registry has is not sent again. */
  push(descriptor: Descriptor, content: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void>;
  /** Puts a manifest under a tag or its digest; a tag moves. What it refers to must be there. */
  pushManifest(
    name: string,
    manifest: { bytes: Uint8Array; mediaType: string },
    options?: CallOptions,
  ): Promise<Descriptor>;
  /** All tags, in the registry's order. */
  tags(options?: CallOptions): AsyncIterable<string>;
}

export function openRepository(session: Session): Repository {
  return {
    resolve: async (name, options = {}) => resolveManifest(session, name, options),
    fetch: (descriptor, options = {}) => fetchContent(session, descriptor, options),
    fetchManifest: async (name, options = {}) =>
      typeof name === "string"
        ? fetchNamedManifest(session, name, options)
        : fetchPromisedManifest(session, name, options),
    push: async (descriptor, content, options = {}) =>
      isDocumentType(descriptor.mediaType)
        ? pushManifestContent(session, descriptor, content, options)
        : pushBlob(session, descriptor, content, options),
    pushManifest: async (name, manifest, options = {}) => putManifest(session, name, manifest, options),
    tags: (options = {}) => listTags(session, options),
  };
}

async function* fetchContent(
  session: Session,
  descriptor: Descriptor,
  options: CallOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  if (isDocumentType(descriptor.mediaType)) {
    yield (await fetchPromisedManifest(session, descriptor, options)).bytes;
  } else {
    yield* verifyContent(descriptor, gather(downloadBlob(session, descriptor, options)), options);
  }
}
