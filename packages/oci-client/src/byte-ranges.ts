import type { BlobRange } from "@lamella/refs";

/** A sorted list of ranges that neither touch nor overlap, with one more in it. */
export function addRange(ranges: readonly BlobRange[], { offset, length }: BlobRange): BlobRange[] {
  let [start, end] = [offset, offset + length];
  const [before, after]: [BlobRange[], BlobRange[]] = [[], []];
  for (const range of ranges) {
    if (range.offset + range.length < start) before.push(range);
    else if (range.offset > end) after.push(range);
    else [start, end] = [Math.min(start, range.offset), Math.max(end, range.offset + range.length)];
  }
  return [...before, { offset: start, length: end - start }, ...after];
}

/** What such a list leaves out of the bytes from 0 to `size`. */
export function missingRanges(ranges: readonly BlobRange[], size: number): BlobRange[] {
  const missing: BlobRange[] = [];
  let position = 0;
  for (const { offset, length } of ranges) {
    if (offset > position) missing.push({ offset: position, length: offset - position });
    position = offset + length;
  }
  if (position < size) missing.push({ offset: position, length: size - position });
  return missing;
}

/** Cuts ranges into pieces of at most `lengthBytes`. */
export function cutRanges(ranges: readonly BlobRange[], lengthBytes: number): BlobRange[] {
  return ranges.flatMap(({ offset, length }) =>
    Array.from({ length: Math.ceil(length / lengthBytes) }, (_, index) => {
      const start = index * lengthBytes;
      return { offset: offset + start, length: Math.min(lengthBytes, length - start) };
    }),
  );
}
