import type { CallOptions, Descriptor } from "@lamella/refs";

/** A part of a blob, in bytes. */
export interface BlobRange {
  readonly offset: number;
  readonly length: number;
}

/** Content by descriptor and range. A source of random access, as for layers that are read lazily. */
export interface RangeFetcher {
  /**
   * Exactly the bytes of a range, resumed when the connection breaks. They are NOT verified: a digest is of the whole. A caller checks
   * them by what it knows, the digests of chunks or that of the blob put together.
   * @throws {OciClientError} `range_unusable` when the registry ignores ranges or answers another one; nothing of it was given out then
   * @throws {RangeError} for a range that is not within the descriptor's size
   */
  fetchRange(descriptor: Descriptor, range: BlobRange, options?: CallOptions): AsyncIterable<Uint8Array>;
}

/** @throws {RangeError} */
export function checkRange({ digest, size }: Descriptor, { offset, length }: BlobRange): void {
  const isInside = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (isInside && offset + length <= size) return;
  throw new RangeError(`cannot read blob ${digest}: ${length} bytes at ${offset} are not within its ${size} bytes`);
}

/** Whether `Content-Range` begins where it was asked to and does not go further (RFC 9110, section 14.4). */
export function isRangeOf(
  contentRange: string | null,
  { offset, end, size }: { offset: number; end: number; size: number },
): boolean {
  const match = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/.exec(contentRange ?? "");
  if (match === null || Number(match[1]) !== offset) return false;
  const last = Number(match[2]);
  return last >= offset && last < end && (match[3] === "*" || Number(match[3]) === size);
}
