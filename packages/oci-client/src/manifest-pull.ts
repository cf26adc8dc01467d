import {
  type CallOptions,
  collectContent,
  type Descriptor,
  detectMediaType,
  digestAlgorithm,
  digestOf,
  DOCKER_MANIFEST,
  DOCKER_MANIFEST_LIST,
  isDigest,
  isDocumentType,
  isTag,
  MAX_DOCUMENT_BYTES,
  OCI_INDEX,
  OCI_MANIFEST,
  quote,
} from "@lamella/refs";

import { discard, readBody } from "./body.js";
import { OciClientError } from "./errors.js";
import { retry } from "./retry.js";
import type { Session } from "./session.js";
import type { ResponseHeaders } from "./transport.js";

/** A manifest or an index as the registry holds it. */
export interface FetchedManifest {
  /** Digest and size are those of the bytes. */
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** What a manifest may be, for `Accept`. */
export const DOCUMENT_TYPES: string = [OCI_INDEX, OCI_MANIFEST, DOCKER_MANIFEST_LIST, DOCKER_MANIFEST].join(", ");

/** The descriptor behind a tag or digest, with a HEAD when the registry answers one in full, else from the body itself. */
export async function resolveManifest(session: Session, name: string, options: CallOptions): Promise<Descriptor> {
  checkName(session, name);
  const descriptor = await retry(session.context.retry, () => headManifest(session, name, options), options);
  return descriptor ?? (await fetchNamedManifest(session, name, options)).descriptor;
}

/** Reads a manifest by tag or digest; a digest is verified. */
export async function fetchNamedManifest(
  session: Session,
  name: string,
  options: CallOptions,
): Promise<FetchedManifest> {
  checkName(session, name);
  const { bytes, contentType } = await getManifest(session, name, options);
  const digest = digestOf(bytes, isDigest(name) ? digestAlgorithm(name) : "sha256");
  const size = bytes.byteLength;
  if (isDigest(name)) await collectContent({ digest: name, size }, once(bytes), size, options);
  const mediaType = isDocumentType(contentType) ? contentType : detectMediaType(bytes);
  return { descriptor: { mediaType, digest, size }, bytes };
}

/** Reads the manifest that a descriptor promises, verified. */
export async function fetchPromisedManifest(
  session: Session,
  descriptor: Descriptor,
  options: CallOptions,
): Promise<FetchedManifest> {
  const { bytes } = await getManifest(session, descriptor.digest, options);
  return { descriptor, bytes: await collectContent(descriptor, once(bytes), MAX_DOCUMENT_BYTES, options) };
}

/** A name becomes part of an address: only tags and digests may. */
export function checkName(session: Session, name: string): void {
  if (isTag(name) || isDigest(name)) return;
  const act = session.act(`use ${quote(name)}`);
  throw new OciClientError("address_invalid", `cannot ${act}: it is neither a tag nor a digest`);
}

async function headManifest(session: Session, name: string, { signal }: CallOptions): Promise<Descriptor | undefined> {
  const response = await session.send({
    method: "HEAD",
    target: `manifests/${name}`,
    headers: { accept: DOCUMENT_TYPES },
    verb: `resolve ${name}`,
    access: "pull",
    statuses: [200, 405, 501],
    signal,
  });
  await discard(response.body);
  const { headers } = response;
  const digest = headers.get("docker-content-digest") ?? "";
  const mediaType = contentTypeOf(headers);
  const length = headers.get("content-length") ?? "";
  const isComplete = response.status === 200 && isDigest(digest) && isDocumentType(mediaType);
  if (!isComplete || !/^[1-9][0-9]{0,14}$/.test(length) || (isDigest(name) && name !== digest)) return undefined;
  return { mediaType, digest, size: Number(length) };
}

async function getManifest(
  session: Session,
  name: string,
  options: CallOptions,
): Promise<{ bytes: Uint8Array; contentType: string }> {
  const verb = `read manifest ${name}`;
  const get = async (): Promise<{ bytes: Uint8Array; contentType: string }> => {
    const { body, headers } = await session.send({
      method: "GET",
      target: `manifests/${name}`,
      headers: { accept: DOCUMENT_TYPES },
      verb,
      access: "pull",
      statuses: [200],
      signal: options.signal,
    });
    const bytes = await readBody(body, { limitBytes: MAX_DOCUMENT_BYTES, act: session.act(verb) });
    return { bytes, contentType: contentTypeOf(headers) };
  };
  return retry(session.context.retry, get, options);
}

function contentTypeOf(headers: ResponseHeaders): string {
  return (headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
