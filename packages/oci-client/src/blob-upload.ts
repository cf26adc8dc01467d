import { type CallOptions, type Descriptor, digestAlgorithm } from "@lamella/refs";

import { discard } from "./body.js";
import { uploadInChunks } from "./chunked-upload.js";
import { OciClientError } from "./errors.js";
import { isTransient } from "./network-error.js";
import { isThere, letGo, openVerified, type PushContent } from "./push.js";
import { pause, retry } from "./retry.js";
import { repositoryScope } from "./scope.js";
import type { Session } from "./session.js";
import { placeOf, type UploadPlace, withQuery } from "./upload-place.js";

/** Where a repository is. */
export interface RepositoryAddress {
  /** The origin of the registry: `https://ghcr.io`. */
  readonly registry: string;
  /** The repository within it. */
  readonly path: string;
}

export interface PushOptions extends CallOptions {
  /**
   * Sends a blob in pieces of at most this many bytes, each held in memory until the registry has it: a connection that breaks costs
   * one piece. A registry may ask for more (`OCI-Chunk-Min-Length`). Default: in one piece, which every registry takes and is faster.
   */
  chunkBytes?: number | undefined;
  /** Another repository that holds the blob: one of the same registry can lend it without a transfer. */
  mountFrom?: RepositoryAddress | undefined;
  /** The content checks its digest and size itself, as an `ImageSource`'s does, and need not be hashed a second time. */
  isVerified?: boolean | undefined;
}

/**
 * Uploads a blob unless the registry has it or another of its repositories lends it (distribution-spec, "Pushing blobs"). The content is
 * verified as it passes. What fails for a transient reason is begun anew if the content can be asked for again.
 */
export async function pushBlob(
  session: Session,
  descriptor: Descriptor,
  content: PushContent,
  options: PushOptions,
): Promise<void> {
  const { retry: policy } = session.context;
  const canRepeat = typeof content === "function";
  for (let failures = 1; ; failures++) {
    if (await isThere(session, `blobs/${descriptor.digest}`, options)) return letGo(content);
    const place = await startUpload(session, descriptor, options);
    if (place === undefined) return letGo(content);
    const upload = rememberingError(openVerified(descriptor, content, options));
    try {
      await (options.chunkBytes === undefined
        ? uploadWhole(session, { descriptor, place, content: upload.content, options })
        : uploadInChunks(session, { descriptor, place, content: upload.content, options }));
      return;
    } catch (error) {
      if (upload.error() !== undefined) throw upload.error();
      if (!canRepeat || failures >= policy.attempts || !isTransient(error)) throw error;
      await pause(policy, { failures, error }, options);
    }
  }
}

/** Asks another repository of the registry to lend a blob; false when it does not, and then nothing has changed. */
export async function mountBlob(
  session: Session,
  descriptor: Pick<Descriptor, "digest">,
  from: RepositoryAddress,
  options: CallOptions,
): Promise<boolean> {
  const place = await startUpload(session, descriptor, { ...options, mountFrom: from });
  if (place === undefined) return true;
  await cancelUpload(session, place, options);
  return false;
}

export interface Upload {
  readonly descriptor: Descriptor;
  readonly place: UploadPlace;
  /** Verified. */
  readonly content: AsyncIterable<Uint8Array>;
  readonly options: PushOptions;
}

async function uploadWhole(session: Session, { descriptor, place, content, options }: Upload): Promise<void> {
  const response = await session.send({
    method: "PUT",
    target: withQuery(place.url, `digest=${encodeURIComponent(descriptor.digest)}`),
    headers: { "content-type": "application/octet-stream", "content-length": String(descriptor.size) },
    body: content,
    verb: `push blob ${descriptor.digest}`,
    access: "push",
    statuses: [201, 204],
    signal: options.signal,
  });
  await discard(response.body);
}

/** Where to upload to; undefined when the blob was mounted. A repository that we may not read does not lend: then it is an upload. */
async function startUpload(
  session: Session,
  descriptor: Pick<Descriptor, "digest">,
  { mountFrom, signal }: PushOptions,
): Promise<UploadPlace | undefined> {
  const isLent = mountFrom?.registry === session.registry.origin && mountFrom.path !== session.path;
  if (!isLent) return postUpload(session, descriptor, undefined, { signal });
  try {
    return await postUpload(session, descriptor, mountFrom, { signal });
  } catch (error) {
    const isForbidden = error instanceof OciClientError && ["unauthorized", "denied"].includes(error.code);
    if (!isForbidden) throw error;
    return postUpload(session, descriptor, undefined, { signal });
  }
}

/** Begun twice it does no harm: the registry forgets what nobody continues. */
async function postUpload(
  session: Session,
  { digest }: Pick<Descriptor, "digest">,
  mountFrom: RepositoryAddress | undefined,
  { signal }: CallOptions,
): Promise<UploadPlace | undefined> {
  const verb = `push blob ${digest}`;
  const query = new URLSearchParams(mountFrom === undefined ? {} : { mount: digest, from: mountFrom.path });
  if (digestAlgorithm(digest) !== "sha256") query.set("digest-algorithm", digestAlgorithm(digest));
  const post = async (): Promise<UploadPlace | undefined> => {
    const response = await session.send({
      method: "POST",
      target: `blobs/uploads/${query.size === 0 ? "" : `?${query.toString()}`}`,
      headers: { "content-length": "0" },
      verb,
      access: "push",
      scopes: mountFrom === undefined ? [] : [repositoryScope(mountFrom.path, ["pull"])],
      statuses: mountFrom === undefined ? [202] : [201, 202],
      signal,
    });
    await discard(response.body);
    return response.status === 201 ? undefined : placeOf(session, response, verb);
  };
  return retry(session.context.retry, post, { signal });
}

/** A courtesy: a registry that does not take it forgets the upload by itself. */
async function cancelUpload(session: Session, { url }: UploadPlace, { signal }: CallOptions): Promise<void> {
  const verb = "cancel an upload";
  try {
    const response = await session.send({
      method: "DELETE",
      target: url,
      verb,
      access: "push",
      statuses: [200, 202, 204],
      signal,
    });
    await discard(response.body);
  } catch {
    signal?.throwIfAborted();
  }
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
