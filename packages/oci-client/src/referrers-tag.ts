import { type CallOptions, type Digest, OCI_INDEX, parseIndex } from "@lamella/refs";

import { putManifestBytes } from "./manifest-put.js";
import { readReferrersTag, type Referrer, referrersTag } from "./referrers.js";
import type { Session } from "./session.js";

/**
 * Lists a manifest under its subject's referrers tag: what a client owes a registry that answers the push of a manifest with a
 * `subject` without `OCI-Subject` (distribution-spec, "Pushing Manifests with Subject"). Repeating it changes nothing. The
 * index is read, changed and put again: of two clients that do so in the same moment one may be lost, as with every client,
 * since registries offer nothing to prevent it.
 */
export async function addToReferrersTag(
  session: Session,
  { subject, descriptor }: Referrer,
  options: CallOptions,
): Promise<void> {
  const index = await readReferrersTag(session, subject, options);
  if (index !== undefined && digestsOf(index).includes(descriptor.digest)) return;
  await putReferrersTag(session, subject, [...entriesOf(index), descriptor], options);
}

/** Takes a manifest off its subject's referrers tag; for one that is not listed nothing happens. */
export async function removeFromReferrersTag(
  session: Session,
  { subject, descriptor }: Referrer,
  options: CallOptions,
): Promise<void> {
  const index = await readReferrersTag(session, subject, options);
  if (index === undefined) return;
  const digests = digestsOf(index);
  if (!digests.includes(descriptor.digest)) return;
  const kept = entriesOf(index).filter((_, at) => digests[at] !== descriptor.digest);
  await putReferrersTag(session, subject, kept, options);
}

function digestsOf(index: Uint8Array): Digest[] {
  return parseIndex(index).manifests.map(({ digest }) => digest);
}

/** The entries as they stand: what others wrote stays as they wrote it. */
function entriesOf(index: Uint8Array | undefined): readonly unknown[] {
  if (index === undefined) return [];
  return (JSON.parse(new TextDecoder().decode(index)) as { manifests?: unknown[] | null }).manifests ?? [];
}

async function putReferrersTag(
  session: Session,
  subject: Digest,
  manifests: readonly unknown[],
  options: CallOptions,
): Promise<void> {
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
  const bytes = new TextEncoder().encode(JSON.stringify(index));
  await putManifestBytes(session, referrersTag(subject), { bytes, mediaType: OCI_INDEX }, options);
}
