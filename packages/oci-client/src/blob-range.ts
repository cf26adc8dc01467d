import type { BlobRange, Descriptor } from "@lamella/refs";

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
