import { type CallOptions, type Descriptor, digestAlgorithm, digestOf, isDigest } from "@lamella/refs";

import { discard } from "./body.js";
import { OciClientError } from "./errors.js";
import { checkName } from "./manifest-pull.js";
import { retry } from "./retry.js";
import type { Session } from "./session.js";
import type { ResponseHeaders } from "./transport.js";

/** A manifest to push. */
export interface ManifestBytes {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

/** Uploads a manifest under a tag or its digest, as one request. Repeating it changes nothing. */
export async function putManifestBytes(
  session: Session,
  name: string,
  { bytes, mediaType }: ManifestBytes,
  options: CallOptions,
): Promise<{ descriptor: Descriptor; headers: ResponseHeaders }> {
  checkName(session, name);
  const verb = `push manifest ${name}`;
  const digest = digestOf(bytes, isDigest(name) ? digestAlgorithm(name) : "sha256");
  if (isDigest(name) && name !== digest) {
    throw new OciClientError("rejected", `cannot ${session.act(verb)}: the digest of the manifest is ${digest}`);
  }
  const put = async (): Promise<ResponseHeaders> => {
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
    return response.headers;
  };
  const headers = await retry(session.context.retry, put, options);
  return { descriptor: { mediaType, digest, size: bytes.byteLength }, headers };
}
