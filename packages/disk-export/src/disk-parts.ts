import type { CallOptions } from "@lamella/refs";

import type { DiskPlan } from "./disk-plan.js";

/** What one write takes. */
const PART_BYTES = 1 << 20;
/** A shorter hole is written as zeros: a gap and two writes cost more than it saves. */
const HOLE_BYTES = 64 << 10;

/** A part of a disk: bytes, or a hole. */
export interface DiskPart {
  readonly offset: number;
  readonly length: number;
  readonly bytes?: Uint8Array;
}

/**
 * The whole disk in ascending order: holes as such, all else in parts of 1 MiB, shorter only before a hole and at the end.
 * A part's bytes stay valid while the next part is asked for, and no longer: one can be written while the next is read.
 */
export async function* diskParts(plan: DiskPlan, { signal }: CallOptions = {}): AsyncGenerator<DiskPart> {
  const buffers = [new Uint8Array(PART_BYTES), new Uint8Array(PART_BYTES)] as const;
  let buffer: Uint8Array = buffers[0];
  let position = 0;

  function takePart(length: number): DiskPart {
    const part = { offset: position, length, bytes: buffer.subarray(0, length) };
    position += length;
    buffer = buffer === buffers[0] ? buffers[1] : buffers[0];
    return part;
  }

  for (const { start, end } of dataRanges(plan)) {
    if (start > position) yield { offset: position, length: start - position };
    position = start;
    let used = 0;
    for await (const chunk of plan.read(start, end - start, { signal })) {
      for (let at = 0; at < chunk.length;) {
        const count = Math.min(chunk.length - at, PART_BYTES - used);
        buffer.set(chunk.subarray(at, at + count), used);
        at += count;
        used += count;
        if (used < PART_BYTES) continue;
        yield takePart(used);
        used = 0;
      }
    }
    if (used > 0) yield takePart(used);
  }
  if (position < plan.sizeBytes) yield { offset: position, length: plan.sizeBytes - position };
}

/** Runs of segments without a hole worth skipping between them. */
function* dataRanges({ segments }: DiskPlan): Generator<{ start: number; end: number }> {
  let range: { start: number; end: number } | undefined;
  for (const { offset, length } of segments) {
    if (range !== undefined && offset - range.end < HOLE_BYTES) {
      range.end = offset + length;
      continue;
    }
    if (range !== undefined) yield range;
    range = { start: offset, end: offset + length };
  }
  if (range !== undefined) yield range;
}
