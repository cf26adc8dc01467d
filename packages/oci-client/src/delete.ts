import { type CallOptions, type Digest, isDigest, quote } from "@lamella/refs";

import { discard } from "./body.js";
import { OciClientError } from "./errors.js";
import { checkName, fetchNamedManifest } from "./manifest-pull.js";
import { hasReferrersApi, readReferrer } from "./referrers.js";
import { removeFromReferrersTag } from "./referrers-tag.js";
import { retry } from "./retry.js";
import type { Session } from "./session.js";

/**
 * Removes a tag, or by digest a manifest with all its tags (distribution-spec, "Deleting Manifests"). A manifest with a `subject`
 * is also taken off the referrers tag where the registry has no referrers API.
 */
export async function deleteManifest(session: Session, name: string, options: CallOptions): Promise<void> {
  checkName(session, name);
  const listed = isDigest(name) ? readReferrer(await fetchNamedManifest(session, name, options)) : undefined;
  await remove(session, `manifests/${name}`, `delete ${name}`, options);
  if (listed !== undefined && !(await hasReferrersApi(session, listed.subject, options))) {
    await removeFromReferrersTag(session, listed, options);
  }
}

/** Removes a blob, whoever refers to it (distribution-spec, "Deleting Blobs"). */
export async function deleteBlob(session: Session, digest: Digest, options: CallOptions): Promise<void> {
  if (!isDigest(digest)) {
    throw new OciClientError("address_invalid", `cannot ${session.act(`delete ${quote(digest)}`)}: it is not a digest`);
  }
  await remove(session, `blobs/${digest}`, `delete blob ${digest}`, options);
}

/** What a try before removed, though its answer was lost, is gone: that is what was wanted. */
async function remove(session: Session, target: string, verb: string, { signal }: CallOptions): Promise<void> {
  let tries = 0;
  const send = async (): Promise<void> => {
    tries++;
    const statuses = tries === 1 ? [200, 202, 204] : [200, 202, 204, 404];
    const response = await session.send({ method: "DELETE", target, verb, access: "delete", statuses, signal });
    await discard(response.body);
  };
  await retry(session.context.retry, send, { signal });
}
