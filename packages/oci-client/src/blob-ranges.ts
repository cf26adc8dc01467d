import type { BlobPiece, BlobRange, CallOptions, Descriptor } from "@lamella/refs";

import type { BlobPlace } from "./blob-places.js";
import { answeredBytes, checkRange } from "./blob-range.js";
import { discard } from "./body.js";
import { boundaryOf, readParts } from "./byteranges.js";
import { OciClientError } from "./errors.js";

/**
 * Ranges of a blob, which do not overlap, with one request to the first of the places, and without a second try. The registry may answer them in any order, and
 * leave out some; it is not told that it did.
 * @throws {OciClientError} `range_unusable` when it answers the whole, or what was not asked for; what the session throws
 */
export async function* downloadRanges(
  [place]: readonly BlobPlace[],
  descriptor: Descriptor,
  ranges: readonly BlobRange[],
  { signal }: CallOptions,
): AsyncGenerator<BlobPiece, void, undefined> {
  signal?.throwIfAborted();
  for (const range of ranges) checkRange(descriptor, range);
  const missing = new Set(ranges.filter(({ length }) => length > 0));
  if (place === undefined || missing.size === 0) return;
  const { session, target } = place;
  const verb = `read ${missing.size} ranges of blob ${descriptor.digest}`;
  const unusable = (state: string): OciClientError =>
    new OciClientError("range_unusable", `cannot ${session.act(verb)}: ${state}`);

  const response = await session.send({
    method: "GET",
    target,
    isAnonymous: typeof target !== "string",
    headers: {
      range: `bytes=${[...missing].map(({ offset, length }) => `${offset}-${offset + length - 1}`).join(",")}`,
    },
    verb,
    access: "pull",
    // Some refuse what they do not know, and RFC 9110 lets them.
    statuses: [200, 206, 400, 416],
    signal,
  });

  /** What of the ranges is answered. None twice: an answer has an end. */
  function take(contentRange: string | null): BlobRange {
    for (const range of missing) {
      const { offset } = range;
      const length = answeredBytes(contentRange, { offset, end: offset + range.length, size: descriptor.size });
      if (length === 0) continue;
      missing.delete(range);
      return { offset, length };
    }
    throw unusable("it answers another one");
  }

  const boundary = response.status === 206 ? boundaryOf(response.headers.get("content-type")) : undefined;
  if (boundary !== undefined) {
    yield* readParts(response.body, { boundary, take, unusable });
    return;
  }
  const single = response.headers.get("content-range");
  if (response.status !== 206 || single === null) {
    await discard(response.body);
    throw unusable("it answers none, or the whole");
  }
  const { offset, length } = take(single);
  let done = 0;
  for await (const bytes of response.body) {
    if (bytes.byteLength > length - done) throw unusable("it sends more than it says");
    yield { offset: offset + done, bytes };
    done += bytes.byteLength;
  }
}
