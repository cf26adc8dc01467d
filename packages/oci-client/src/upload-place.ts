import { quote } from "@lamella/refs";

import { OciClientError } from "./errors.js";
import type { FollowedResponse } from "./redirect.js";
import type { Session } from "./session.js";

/** Where the registry takes the next piece of an upload, as its last answer said. */
export interface UploadPlace {
  readonly url: URL;
  /** The least a chunk but the last must have, in bytes (`OCI-Chunk-Min-Length`); 0 when the registry asks for nothing. */
  readonly minChunkBytes: number;
  /** How many bytes the registry has of the upload, where it said so. */
  readonly receivedBytes: number | undefined;
}

/**
 * Reads `Location`, which must be at the registry itself.
 * @throws {OciClientError} `protocol`, `redirect_refused`
 */
export function placeOf(session: Session, { headers, url: base }: FollowedResponse, verb: string): UploadPlace {
  const location = headers.get("location");
  if (location === null || !URL.canParse(location, base.href)) {
    throw new OciClientError("protocol", `cannot ${session.act(verb)}: the registry names no place to upload to`);
  }
  const url = new URL(location, base);
  if (url.origin !== session.registry.origin || url.username !== "" || url.password !== "") {
    const state = `${session.registry.origin} sends the upload to ${quote(url.origin)}`;
    throw new OciClientError("redirect_refused", `cannot ${session.act(verb)}: ${state}`);
  }
  const minimum = headers.get("oci-chunk-min-length") ?? "";
  const range = /^(?:bytes=)?0-([0-9]{1,15})$/.exec(headers.get("range") ?? "");
  return {
    url,
    minChunkBytes: /^[0-9]{1,15}$/.test(minimum) ? Number(minimum) : 0,
    receivedBytes: range === null ? undefined : receivedBytes(Number(range[1])),
  };
}

/** Appends by hand: the registry's own query is often signed and must stay as it is, byte for byte. */
export function withQuery(place: URL, query: string): URL {
  const url = new URL(place);
  url.search = `${url.search === "" ? "?" : `${url.search}&`}${query}`;
  return url;
}

/** The range's end is the last byte's place; registries say 0-0 for nothing, and nobody resumes after a single byte. */
function receivedBytes(end: number): number {
  return end === 0 ? 0 : end + 1;
}
