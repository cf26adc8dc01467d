import type { CallOptions, Resolver } from "./capabilities.js";
import { type Digest, parseDigest } from "./digest.js";
import { DEFAULT_TAG, type Reference } from "./reference.js";

/** A reference that names one content for good; the tag it was found by is kept beside the digest. */
export interface ResolvedReference extends Reference {
  readonly digest: Digest;
}

/**
 * Pins a reference: asks `resolver`, a source of the reference's repository, what its tag stands for, `latest` without one.
 * A reference that has a digest is resolved already: it is answered as it is, nothing is asked, a tag beside it is not looked up.
 *
 * @throws {RefsError} `digest_invalid`, `digest_unsupported` when the resolver's answer has no digest of ours;
 * what the resolver throws, a tag that is not there included, comes through as it is.
 */
export async function resolveReference(
  reference: Reference,
  resolver: Resolver,
  options: CallOptions = {},
): Promise<ResolvedReference> {
  options.signal?.throwIfAborted();
  const { tag = DEFAULT_TAG, digest, ...name } = reference;
  if (digest !== undefined) return { ...reference, digest };
  const descriptor = await resolver.resolve(tag, options);
  options.signal?.throwIfAborted();
  return { ...name, tag, digest: parseDigest(descriptor.digest) };
}
