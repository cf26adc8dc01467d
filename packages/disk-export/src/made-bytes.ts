import type { Segment } from "./disk-plan.js";

/** One whose bytes are made, not read. */
export type MadeSegment = Extract<Segment, { bytes: unknown }>;

/**
 * Makes segments' bytes, and keeps those that were asked for last, up to `limitBytes`: whoever reads a disk block by block comes back for the
 * next block of the same segment.
 */
export function createMadeBytes(limitBytes: number): (segment: MadeSegment) => Uint8Array {
  const kept = new Map<MadeSegment, Uint8Array>();
  let keptBytes = 0;

  function drop(segment: MadeSegment): void {
    keptBytes -= kept.get(segment)?.length ?? 0;
    kept.delete(segment);
  }

  return (segment) => {
    // A copy: what a segment gives may be a part of a larger buffer, all of which would be kept.
    const bytes = kept.get(segment) ?? segment.bytes().slice();
    drop(segment);
    if (bytes.length > limitBytes) return bytes;
    kept.set(segment, bytes);
    keptBytes += bytes.length;
    // a map has its keys in the order in which they came
    for (const oldest of kept.keys()) {
      if (keptBytes <= limitBytes) break;
      drop(oldest);
    }
    return bytes;
  };
}
