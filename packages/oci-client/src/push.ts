import { type CallOptions, collectContent, type Descriptor, MAX_DOCUMENT_BYTES, verifyContent } from "@lamella/refs";

import { discard } from "./body.js";
import { DOCUMENT_TYPES } from "./manifest-pull.js";
import { type ManifestBytes, putManifestBytes } from "./manifest-put.js";
import { readReferrer } from "./referrers.js";
import { addToReferrersTag } from "./referrers-tag.js";
import { retry } from "./retry.js";
import type { Session } from "./session.js";

/**
 * Content to push. A function can be asked again, so that an upload that breaks is begun anew; an iterable is read once. Neither is
 * read when the content is there already. A function may be told that no chunk is looked at after the next one was asked for: it may then use
 * the memory of a chunk again.
 */
export type PushContent =
  | AsyncIterable<Uint8Array>
  | ((options?: { isLent?: boolean | undefined }) => AsyncIterable<Uint8Array>);

/** Uploads a manifest under its digest, unless the registry has it. */
export async function pushManifestContent(
  session: Session,
  descriptor: Descriptor,
  content: PushContent,
  options: CallOptions,
): Promise<void> {
  const { digest, mediaType } = descriptor;
  if (await isThere(session, `manifests/${digest}`, options)) return letGo(content);
  const bytes = await collectContent(descriptor, openContent(content), MAX_DOCUMENT_BYTES, options);
  await putManifest(session, digest, { bytes, mediaType }, options);
}

/**
 * Uploads a manifest under a tag or its digest and gives its descriptor. Repeating it changes nothing. One with a `subject` is listed
 * under the referrers tag when the registry does not list referrers itself.
 */
export async function putManifest(
  session: Session,
  name: string,
  manifest: ManifestBytes,
  options: CallOptions,
): Promise<Descriptor> {
  const { descriptor, headers } = await putManifestBytes(session, name, manifest, options);
  const referrer = readReferrer({ descriptor, bytes: manifest.bytes });
  if (referrer !== undefined && headers.get("oci-subject") === null) {
    await addToReferrersTag(session, referrer, options);
  }
  return descriptor;
}

function openContent(content: PushContent, isLent = false): AsyncIterable<Uint8Array> {
  return typeof content === "function" ? content({ isLent }) : content;
}

interface OpenOptions extends CallOptions {
  readonly isVerified?: boolean | undefined;
  /** Whether no chunk is looked at after the next one was asked for. */
  readonly isLent?: boolean | undefined;
}

/** The content, its digest and size checked by it or here. */
export function openVerified(
  descriptor: Descriptor,
  content: PushContent,
  options: OpenOptions,
): AsyncIterable<Uint8Array> {
  const opened = openContent(content, options.isLent);
  return options.isVerified === true ? opened : verifyContent(descriptor, opened, options);
}

/** Content that is not needed may hold a file open. */
export async function letGo(content: PushContent): Promise<void> {
  if (typeof content !== "function") await content[Symbol.asyncIterator]().return?.();
}

/** Asks with a HEAD whether the repository has a blob or a manifest. */
export async function isThere(session: Session, target: string, { signal }: CallOptions): Promise<boolean> {
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
