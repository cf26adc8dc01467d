import type { BlobRange, Descriptor } from "@lamella/refs";

/** @throws {RangeError} */
export function checkRange({ digest, size }: Descriptor, { offset, length }: BlobRange): void {
  const isInside = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (isInside && offset + length <= size) return;
  throw new RangeError(`cannot read blob ${digest}: ${length} bytes at ${offset} are not within its ${size} bytes`);
}

/** How many bytes a `Content-Range` has that begins where it was asked to and does not go further; 0 for any other (RFC 9110, section 14.4). */
export function answeredBytes(
  contentRange: string | null,
  { offset, end, size }: { offset: number; end: number; size: number },
): number {
  const match = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/.exec(contentRange ?? "");
  if (match === null || Number(match[1]) !== offset || Number(match[2]) >= end) return 0;
  return match[3] === "*" || Number(match[3]) === size ? Math.max(0, Number(match[2]) + 1 - offset) : 0;
}
