import {
  collectContent,
  digestAlgorithm,
  digestHex,
  MAX_DOCUMENT_BYTES,
  OCI_INDEX,
  parseDigest,
  parseIndex,
  RefsError,
} from "@lamella/refs";
import type { CallOptions, Descriptor, Digest } from "@lamella/refs";
import type { Context, Hono } from "hono";

import { REFERRERS } from "./endpoints.js";
import { jsonResponse } from "./json-response.js";
import { parseDocument } from "./manifest-document.js";
import type { Service } from "./service.js";
import type { BlobStorage, RegistryStorage } from "./storage.js";

/** What one answer lists, and what is read for it, at most; the rest is behind the `Link` header. */
const PAGE_MAX = 1000;
const PAGE_MAX_BYTES = 1 << 20;
const READ_MAX_BYTES = 32 << 20;

/** What refers to a manifest: OCI distribution-spec 1.1, end-12. */
export function addReferrerRoutes(app: Hono, service: Service): void {
  app.get(REFERRERS, async (c) => {
    const name = await service.gate.repository(c, "pull");
    const subject = parseDigest(c.req.param("digest") ?? "");
    const artifactType = c.req.query("artifactType");
    const { signal } = c.req.raw;
    const page = await readPage(service, { name, subject, artifactType, last: c.req.query("last") }, { signal });
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: page.manifests };
    const headers = {
      "Content-Type": OCI_INDEX,
      ...(artifactType !== undefined && { "OCI-Filters-Applied": "artifactType" }),
      ...(page.last !== undefined && { Link: linkTo(c, page.last, artifactType) }),
    };
    return jsonResponse(index, { headers });
  });
}

interface Wanted {
  readonly name: string;
  readonly subject: Digest;
  readonly artifactType: string | undefined;
  /** After this digest. */
  readonly last: string | undefined;
}

interface ReferrerPage {
  readonly manifests: readonly Descriptor[];
  /** Where the next page goes on, if there may be one. */
  readonly last: Digest | undefined;
}

async function readPage(service: RegistryStorage, wanted: Wanted, call: CallOptions): Promise<ReferrerPage> {
  const digests = await listDigests(service, wanted, call);
  const manifests: Descriptor[] = [];
  let listedBytes = 0;
  let readBytes = 0;
  for (const [at, digest] of digests.entries()) {
    const full = at === PAGE_MAX || listedBytes > PAGE_MAX_BYTES || readBytes > READ_MAX_BYTES;
    if (full) return { manifests, last: digests[at - 1] };
    const referrer = await readReferrer(service, { ...wanted, digest }, call);
    if (referrer === undefined) continue;
    readBytes += referrer.size;
    if (wanted.artifactType !== undefined && referrer.artifactType !== wanted.artifactType) continue;
    listedBytes += JSON.stringify(referrer).length;
    manifests.push(referrer);
  }
  return { manifests, last: undefined };
}

/** One more than a page has, in order. */
async function listDigests(service: RegistryStorage, wanted: Wanted, call: CallOptions): Promise<Digest[]> {
  const { name, subject, last = "" } = wanted;
  const limit = PAGE_MAX + 1;
  const stored = await service.manifests.referrers(name, subject, { after: last, limit, ...call });
  const tagged = await readReferrersTag(service, wanted, call);
  return [...new Set([...stored, ...tagged.filter((digest) => digest > last)])].toSorted().slice(0, limit);
}

/**
 * What clients have listed under the referrers tag, as they do with a registry that has no such API: the specification wants those
 * that were pushed to this one in such times listed too ("Enabling the Referrers API"). They are believed only so far as they are there.
 */
async function readReferrersTag(
  { blobs, manifests }: RegistryStorage,
  { name, subject }: Wanted,
  call: CallOptions,
): Promise<Digest[]> {
  const tag = `${digestAlgorithm(subject)}-${digestHex(subject).slice(0, 64)}`;
  const found = await manifests.resolve(name, tag, call);
  if (found?.mediaType !== OCI_INDEX) return [];
  const bytes = await readDocument(blobs, name, found, call);
  return bytes === undefined ? [] : parseIndex(bytes, OCI_INDEX).manifests.map(({ digest }) => digest);
}

/** A manifest as its subject's list has it; undefined when it does not refer to that, or has gone. */
async function readReferrer(
  { blobs, manifests }: RegistryStorage,
  { name, subject, digest }: Wanted & { digest: Digest },
  call: CallOptions,
): Promise<Descriptor | undefined> {
  const found = await manifests.resolve(name, digest, call);
  const bytes = found === undefined ? undefined : await readDocument(blobs, name, found, call);
  if (found === undefined || bytes === undefined) return undefined;
  const { artifactType, annotations, ...document } = parseDocument(bytes, found.mediaType);
  if (document.subject !== subject) return undefined;
  return {
    mediaType: found.mediaType,
    digest,
    size: bytes.length,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations !== undefined && { annotations }),
  };
}

/** A stored document; undefined for one whose blob was deleted. */
async function readDocument(
  blobs: BlobStorage,
  repository: string,
  descriptor: Descriptor,
  call: CallOptions,
): Promise<Uint8Array | undefined> {
  const { digest, size } = descriptor;
  if ((await blobs.stat(repository, digest, call)) !== size) return undefined;
  const content = blobs.read(repository, digest, { offset: 0, length: size, ...call });
  try {
    return await collectContent(descriptor, content, MAX_DOCUMENT_BYTES, call);
  } catch (error) {
    // not the client's fault, as it would be with a document of its own
    if (error instanceof RefsError) throw new Error(`cannot read ${digest}: it is damaged`, { cause: error });
    throw error;
  }
}

function linkTo(c: Context, last: Digest, artifactType: string | undefined): string {
  const query = new URLSearchParams({ last, ...(artifactType !== undefined && { artifactType }) });
  return `<${new URL(c.req.url).pathname}?${query.toString()}>; rel="next"`;
}
