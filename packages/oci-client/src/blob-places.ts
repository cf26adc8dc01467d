import { type Descriptor, isNondistributableType } from "@lamella/refs";

import type { Session } from "./session.js";

/** Where a blob can be read. */
export interface BlobPlace {
  readonly session: Session;
  /** Below the session's repository; or an address of anybody's, which is never sent a credential. */
  readonly target: string | URL;
}

/**
 * Everywhere that a blob may be, in the order in which it is asked for: the repositories, then for a foreign layer its own `urls`, if the
 * client may follow them (OCI image-spec, descriptor.md and layer.md, "Non-Distributable Layers").
 */
export function blobPlaces(sessions: readonly Session[], descriptor: Descriptor): BlobPlace[] {
  const places: BlobPlace[] = sessions.map((session) => ({ session, target: `blobs/${descriptor.digest}` }));
  const own = sessions.at(-1);
  if (own === undefined || !own.context.foreignUrls || !isNondistributableType(descriptor.mediaType)) return places;
  const urls = (descriptor.urls ?? []).filter((url) => URL.canParse(url)).map((url) => new URL(url));
  return [...places, ...urls.map((target) => ({ session: own, target }))];
}
