import {
  type CallOptions,
  collectContent,
  type Descriptor,
  digestAlgorithm,
  digestOf,
  isDigest,
  MAX_DOCUMENT_BYTES,
  quote,
  verifyContent,
} from "@lamella/refs";

import { discard } from "./body.js";
import { OciClientError } from "./errors.js";
import { checkName, DOCUMENT_TYPES } from "./manifest-pull.js";
import type { FollowedResponse } from "./redirect.js";
import { retry } from "./retry.js";
import type { Session } from "./session.js";

/** Uploads a blob in one piece, unless the registry has it (distribution-spec, "POST then PUT"). The content is verified as it passes. */
export async function pushBlob(
  session: Session,
  descriptor: Descriptor,
  content: AsyncIterable<Uint8Array>,
  options: CallOptions,
): Promise<void> {
  if (await has(session, `blobs/${descriptor.digest}`, options)) return letGo(content);
  const verb = `push blob ${descriptor.digest}`;
  const location = await startUpload(session, verb, options);
  const upload = rememberingError(verifyContent(descriptor, content, options));
  try {
    const response = await session.send({
      method: "PUT",
      target: withDigest(location, descriptor),
      headers: { "content-type": "application/octet-stream", "content-length": String(descriptor.size) },
      body: upload.content,
      verb,
      access: "push",
      statuses: [201, 204],
      signal: options.signal,
    });
    await discard(response.body);
  } catch (error) {
    throw upload.error() ?? error;
  }
}

/** Uploads a manifest under its digest, unless the registry has it. */
export async function pushManifestContent(
  session: Session,
  descriptor: Descriptor,
  content: AsyncIterable<Uint8Array>,
  options: CallOptions,
): Promise<void> {
  const { digest, mediaType } = descriptor;
  if (await has(session, `manifests/${digest}`, options)) return letGo(content);
  const bytes = await collectContent(descriptor, content, MAX_DOCUMENT_BYTES, options);
  await putManifest(session, digest, { bytes, mediaType }, options);
}

/** Uploads a manifest under a tag or its digest and gives its descriptor. Repeating it changes nothing. */
export async function putManifest(
  session: Session,
  name: string,
  manifest: { bytes: Uint8Array; mediaType: string },
  options: CallOptions,
): Promise<Descriptor> {
  checkName(session, name);
  const { bytes, mediaType } = manifest;
  const verb = `push manifest ${name}`;
  const digest = digestOf(bytes, isDigest(name) ? digestAlgorithm(name) : "sha256");
  if (isDigest(name) && name !== digest) {
    throw new OciClientError("rejected", `cannot ${session.act(verb)}: the digest of the manifest is ${digest}`);
  }
  const put = async (): Promise<void> => {
    const response = await session.send({
      method: "PUT",
      target: `manifests/${name}`,
      headers: { "content-type": mediaType, "content-length": String(bytes.byteLength) },
      body: bytes,
      verb,
      access: "push",
      statuses: [201, 204],
      signal: options.signal,
    });
    await discard(response.body);
  };
  await retry(session.context.retry, put, options);
  return { mediaType, digest, size: bytes.byteLength };
}

/** Content that is not needed may hold a file open. */
async function letGo(content: AsyncIterable<Uint8Array>): Promise<void> {
  await content[Symbol.asyncIterator]().return?.();
}

async function has(session: Session, target: string, { signal }: CallOptions): Promise<boolean> {
  const head = async (): Promise<boolean> => {
    const response = await session.send({
      method: "HEAD",
      target,
      headers: { accept: DOCUMENT_TYPES },
      verb: `look for ${target}`,
      access: "pull",
      statuses: [200, 404],
      signal,
    });
    await discard(response.body);
    return response.status === 200;
  };
  return retry(session.context.retry, head, { signal });
}

/** An upload that was begun twice does no harm: the registry forgets the one that nobody continues. */
async function startUpload(session: Session, verb: string, options: CallOptions): Promise<URL> {
  const post = async (): Promise<FollowedResponse> => {
    const response = await session.send({
      method: "POST",
      target: "blobs/uploads/",
      headers: { "content-length": "0" },
      verb,
      access: "push",
      statuses: [202],
      signal: options.signal,
    });
    await discard(response.body);
    return response;
  };
  const response = await retry(session.context.retry, post, options);
  const location = response.headers.get("location");
  if (location === null || !URL.canParse(location, response.url.href)) {
    throw new OciClientError("protocol", `cannot ${session.act(verb)}: the registry names no place to upload to`);
  }
  const url = new URL(location, response.url);
  if (url.origin !== session.registry.origin || url.username !== "" || url.password !== "") {
    const state = `${session.registry.origin} sends the upload to ${quote(url.origin)}`;
    throw new OciClientError("redirect_refused", `cannot ${session.act(verb)}: ${state}`);
  }
  return url;
}

/** Appends by hand: the registry's own query is often signed and must stay as it is, byte for byte. */
function withDigest(location: URL, { digest }: Descriptor): URL {
  const url = new URL(location);
  url.search = `${url.search === "" ? "?" : `${url.search}&`}digest=${encodeURIComponent(digest)}`;
  return url;
}

/** Keeps the content's own error: a transport reports it only as a connection that broke. */
function rememberingError(source: AsyncIterable<Uint8Array>): {
  content: AsyncIterable<Uint8Array>;
  error: () => unknown;
} {
  let remembered: unknown;
  async function* content(): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      remembered = error;
      throw error;
    }
  }
  return { content: content(), error: () => remembered };
}
