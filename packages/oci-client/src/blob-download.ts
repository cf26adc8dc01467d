import type { BlobRange, CallOptions, Descriptor } from "@lamella/refs";

import type { BlobPlace } from "./blob-places.js";
import { answeredBytes, checkRange } from "./blob-range.js";
import { discard } from "./body.js";
import { OciClientError } from "./errors.js";
import { isTransient } from "./network-error.js";
import type { FollowedResponse } from "./redirect.js";
import { pause } from "./retry.js";
import type { Session } from "./session.js";

export interface DownloadOptions extends CallOptions {
  /** Given in full, no byte more or less. Default: all that the registry sends for the blob. */
  range?: BlobRange | undefined;
  /** Each chunk is only looked at until the next one is asked for. */
  isLent?: boolean | undefined;
}

/** A connection that breaks after less than this has failed, however often it is mended. */
const PROGRESS_BYTES = 1024 * 1024;

interface Download {
  readonly descriptor: Descriptor;
  readonly signal: AbortSignal | undefined;
  /** Where the next byte to give out stands in the blob. */
  offset: number;
  readonly end: number;
  /** No part is asked for, unless to read on. */
  readonly isWhole: boolean;
  readonly isExact: boolean;
  readonly isLent: boolean;
  isRangeTrusted: boolean;
}

/**
 * The bytes of a blob, not verified yet, from the first place that serves them: a body that breaks is taken up again where it ended, at
 * the next place when one has failed for good. Bytes that were given out are never given twice, and an answer for another range than the
 * one asked for is never joined on. The whole blob is then read from its start, past what is known, and just ends where its body ends
 * early for good; a range is given in full or rejects.
 * @throws {OciClientError} `range_unusable` when a part was asked for and the registry answers the whole or another part
 */
export async function* downloadBlob(
  places: readonly BlobPlace[],
  descriptor: Descriptor,
  { signal, range: asked, isLent = false }: DownloadOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { offset, length } = asked ?? { offset: 0, length: descriptor.size };
  checkRange(descriptor, { offset, length });
  const isWhole = offset === 0 && length === descriptor.size;
  const isExact = asked !== undefined;
  const end = offset + length;
  const download: Download = { descriptor, signal, offset, end, isWhole, isExact, isLent, isRangeTrusted: true };
  if (length === 0 && !isWhole) return;
  for (const [index, place] of places.entries()) {
    const { session } = place;
    const next = places[index + 1];
    try {
      yield* downloadFrom(place, download);
      if (download.offset >= download.end) return;
      if (next === undefined && !isExact) return;
      throw endsEarly(session, download);
    } catch (error) {
      if (signal?.aborted === true || next === undefined) throw error;
      // A registry that does not hold what it must not hold has not failed.
      if (typeof next.target !== "string") continue;
      session.context.onNotice({ kind: "mirror_failed", host: session.registry.host, error });
    }
  }
}

async function* downloadFrom(place: BlobPlace, download: Download): AsyncGenerator<Uint8Array> {
  const { retry } = place.session.context;
  const { signal } = download;
  download.isRangeTrusted = true;
  let failures = 0;
  for (;;) {
    const start = download.offset;
    let error: OciClientError | undefined;
    try {
      yield* readOn(place, download);
    } catch (thrown) {
      if (!isTransient(thrown)) throw thrown;
      error = thrown;
    }
    if (error === undefined && (download.offset >= download.end || download.offset === start)) return;
    failures = download.offset - start >= PROGRESS_BYTES ? 1 : failures + 1;
    if (failures >= retry.attempts) {
      if (error === undefined) return;
      throw error;
    }
    await pause(retry, { failures, error }, { signal });
  }
}

/** One request for what is still missing. */
async function* readOn(place: BlobPlace, download: Download): AsyncGenerator<Uint8Array> {
  const response = await request(place, download);
  if (response === undefined) return;
  let skip = response.status === 206 ? 0 : download.offset;
  for await (const chunk of response.body) {
    const fresh = chunk.subarray(Math.min(skip, chunk.byteLength));
    skip -= chunk.byteLength - fresh.byteLength;
    if (fresh.byteLength === 0) continue;
    if (download.isExact && fresh.byteLength > download.end - download.offset) {
      throw rangeUnusable(place.session, download, "it sends more than was asked for");
    }
    download.offset += fresh.byteLength;
    yield fresh;
  }
}

/** The answer to read on from; undefined when the registry says that there is no more. */
async function request(place: BlobPlace, download: Download): Promise<FollowedResponse | undefined> {
  const { descriptor, signal, offset, end, isWhole, isLent } = download;
  const { session, target } = place;
  const isPartial = !isWhole || (offset > 0 && download.isRangeTrusted);
  const response = await session.send({
    method: "GET",
    target,
    isLent,
    isAnonymous: typeof target !== "string",
    headers: isPartial ? { range: `bytes=${offset}-${isWhole ? "" : end - 1}` } : {},
    verb: verbOf(descriptor),
    access: "pull",
    statuses: isPartial ? [200, 206, 416] : [200],
    signal,
  });
  if (response.status === 200 && isWhole) return response;
  const isAsked = answeredBytes(response.headers.get("content-range"), { offset, end, size: descriptor.size }) > 0;
  if (response.status === 206 && isAsked) return response;
  // The whole of a big blob is not worth reading just to use its connection again.
  await discard(response.body);
  if (!isWhole) throw rangeUnusable(session, download, "it answers the whole or another part");
  if (response.status === 416) return undefined;
  download.isRangeTrusted = false;
  return request(place, download);
}

function rangeUnusable(session: Session, { descriptor, offset, end }: Download, state: string): OciClientError {
  const act = session.act(verbOf(descriptor));
  return new OciClientError("range_unusable", `cannot ${act} from ${offset} to ${end}: ${state}`);
}

function endsEarly(session: Session, { descriptor, offset, end }: Download): OciClientError {
  const act = session.act(verbOf(descriptor));
  return new OciClientError("network", `cannot ${act}: the body ends at ${offset}, before ${end}`);
}

function verbOf({ digest }: Descriptor): string {
  return `read blob ${digest}`;
}
