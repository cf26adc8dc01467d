import type { CallOptions, Descriptor } from "@lamella/refs";

import { discard } from "./body.js";
import type { OciClientError } from "./errors.js";
import { isTransient } from "./network-error.js";
import type { FollowedResponse } from "./redirect.js";
import { pause } from "./retry.js";
import type { Session } from "./session.js";

/** A connection that breaks after less than this has failed, however often it is mended. */
const PROGRESS_BYTES = 1024 * 1024;

interface Download {
  readonly session: Session;
  readonly descriptor: Descriptor;
  readonly signal: AbortSignal | undefined;
  /** Bytes given out so far. */
  offset: number;
  isRangeTrusted: boolean;
}

/**
 * The bytes of a blob, not verified yet: a body that breaks is taken up again where it ended. Bytes that were given out are never given
 * twice, and an answer for another range than the one asked for is never joined on: the blob is then read from its start, past what is known.
 * A body that ends early for good just ends.
 */
export async function* downloadBlob(
  session: Session,
  descriptor: Descriptor,
  { signal }: CallOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { retry } = session.context;
  const download: Download = { session, descriptor, signal, offset: 0, isRangeTrusted: true };
  let failures = 0;
  for (;;) {
    const start = download.offset;
    let error: OciClientError | undefined;
    try {
      yield* readOn(download);
    } catch (thrown) {
      if (!isTransient(thrown)) throw thrown;
      error = thrown;
    }
    if (error === undefined && (download.offset >= descriptor.size || download.offset === start)) return;
    failures = download.offset - start >= PROGRESS_BYTES ? 1 : failures + 1;
    if (failures >= retry.attempts) {
      if (error === undefined) return;
      throw error;
    }
    await pause(retry, { failures, error }, { signal });
  }
}

/** One request for what is still missing. */
async function* readOn(download: Download): AsyncGenerator<Uint8Array> {
  const response = await request(download);
  if (response === undefined) return;
  let skip = response.status === 206 ? 0 : download.offset;
  for await (const chunk of response.body) {
    const fresh = chunk.subarray(Math.min(skip, chunk.byteLength));
    skip -= chunk.byteLength - fresh.byteLength;
    if (fresh.byteLength === 0) continue;
    download.offset += fresh.byteLength;
    yield fresh;
  }
}

/** The answer to read on from; undefined when the registry says that there is no more. */
async function request(download: Download): Promise<FollowedResponse | undefined> {
  const { session, descriptor, signal, offset } = download;
  const isPartial = offset > 0 && download.isRangeTrusted;
  const response = await session.send({
    method: "GET",
    target: `blobs/${descriptor.digest}`,
    headers: isPartial ? { range: `bytes=${offset}-` } : {},
    verb: `read blob ${descriptor.digest}`,
    access: "pull",
    statuses: isPartial ? [200, 206, 416] : [200],
    signal,
  });
  if (response.status === 200) return response;
  if (response.status === 206 && isRangeFrom(response.headers, offset, descriptor.size)) return response;
  await discard(response.body);
  if (response.status === 416) return undefined;
  download.isRangeTrusted = false;
  return request(download);
}

/** Whether `Content-Range` is what was asked for (RFC 9110, section 14.4). */
function isRangeFrom(headers: Headers, offset: number, size: number): boolean {
  const match = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/.exec(headers.get("content-range") ?? "");
  return match !== null && Number(match[1]) === offset && (match[3] === "*" || Number(match[3]) === size);
}
