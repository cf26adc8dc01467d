import {
  type CallOptions,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  type Index,
  isDigest,
  isIndexType,
  isManifestType,
  type Manifest,
  OCI_INDEX,
  parseIndex,
  parseManifest,
  quote,
  RefsError,
} from "@lamella/refs";

import { OciClientError } from "./errors.js";
import { fetchNamedManifest, type FetchedManifest } from "./manifest-pull.js";
import { type PageRequest, readPages } from "./pages.js";
import type { Session } from "./session.js";

export interface ReferrersOptions extends CallOptions {
  /** Only manifests of this type. The registry is asked to filter, and what it lets through is filtered here. */
  artifactType?: string | undefined;
}

/** What a registry without the referrers API answers: the specification says 404, some say that the method or route is not theirs. */
const NO_API: readonly number[] = [404, 405, 501];

/**
 * The manifests whose `subject` is the given one (distribution-spec, "Listing Referrers"); where the registry has no such API, those of
 * the index under the referrers tag. None is not an error.
 */
export async function* listReferrers(
  session: Session,
  subject: Digest,
  options: ReferrersOptions,
): AsyncGenerator<Descriptor, void, undefined> {
  if (!isDigest(subject)) {
    const message = `cannot ${session.act(`list the referrers of ${quote(subject)}`)}: it is not a digest`;
    throw new OciClientError("address_invalid", message);
  }
  const { artifactType } = options;
  const isWanted = (descriptor: Descriptor): boolean =>
    artifactType === undefined || descriptor.artifactType === artifactType;
  for await (const { status, bytes } of readPages(session, referrersRequest(subject, artifactType), options)) {
    const index = status === 200 ? bytes : await readReferrersTag(session, subject, options);
    if (index !== undefined) yield* parseIndex(index).manifests.filter(isWanted);
  }
}

function referrersRequest(subject: Digest, artifactType?: string): PageRequest {
  const query = artifactType === undefined ? "" : `?artifactType=${encodeURIComponent(artifactType)}`;
  return {
    target: `referrers/${subject}${query}`,
    verb: `list the referrers of ${subject}`,
    accept: OCI_INDEX,
    statuses: [200, ...NO_API],
  };
}

/** The tag that lists referrers where there is no API: `sha256-<hex>`, cut to 32 and 64 characters ("Referrers Tag Schema"). */
export function referrersTag(subject: Digest): string {
  return `${digestAlgorithm(subject)}-${digestHex(subject).slice(0, 64)}`;
}

/** The index under the referrers tag as it stands there; undefined when there is none. */
export async function readReferrersTag(
  session: Session,
  subject: Digest,
  options: CallOptions,
): Promise<Uint8Array | undefined> {
  try {
    return (await fetchNamedManifest(session, referrersTag(subject), options)).bytes;
  } catch (error) {
    if (error instanceof OciClientError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** Whether the registry answers the referrers API itself. */
export async function hasReferrersApi(session: Session, subject: Digest, options: CallOptions): Promise<boolean> {
  for await (const { status } of readPages(session, referrersRequest(subject), options)) return status === 200;
  return false;
}

/** A manifest that refers to a subject. */
export interface Referrer {
  readonly subject: Digest;
  /** As it stands in the list of the subject's referrers: with artifact type and annotations. */
  readonly descriptor: Descriptor;
}

/** A manifest as a referrer; undefined when it refers to nothing, or is no manifest that we can read. */
export function readReferrer({ descriptor, bytes }: FetchedManifest): Referrer | undefined {
  const { mediaType, digest, size } = descriptor;
  const document = readDocument(mediaType, bytes);
  if (document?.subject === undefined) return undefined;
  const { annotations } = document;
  const artifactType = document.artifactType ?? ("config" in document ? document.config.mediaType : undefined);
  return {
    subject: document.subject.digest,
    descriptor: {
      mediaType,
      digest,
      size,
      ...(artifactType !== undefined && { artifactType }),
      ...(annotations !== undefined && { annotations }),
    },
  };
}

/** What a manifest is, is the registry's to judge: one that we cannot read refers to nothing. */
function readDocument(mediaType: string, bytes: Uint8Array): Manifest | Index | undefined {
  try {
    if (isManifestType(mediaType)) return parseManifest(bytes, mediaType);
    return isIndexType(mediaType) ? parseIndex(bytes, mediaType) : undefined;
  } catch (error) {
    if (error instanceof RefsError) return undefined;
    throw error;
  }
}
