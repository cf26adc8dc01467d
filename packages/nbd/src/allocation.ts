import type { BlockSource } from "./block-source.js";
import { NbdError } from "./errors.js";

/** The holes that clients learn of begin and end at multiples of this, as the blocks of their file systems do. */
const HOLE_UNIT_BYTES = 4096;

export interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly hole: boolean;
}

/** Where a disk has data and where it is known to be zeros. */
export interface Allocation {
  /** Holes and data by turns, from `offset` on, `length` bytes together. */
  extents(offset: number, length: number): Iterable<Extent>;
}

/** @throws {NbdError} `option_invalid` for segments that do not ascend or do not lie within the disk */
export function createAllocation({ sizeBytes, segments }: BlockSource): Allocation {
  const { starts, ends } = dataRanges(segments ?? [{ offset: 0, length: sizeBytes }], sizeBytes);

  /** The first range of which a byte lies at `offset` or after it. */
  function firstRangeEndingAfter(offset: number): number {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  return {
    *extents(offset, length) {
      const end = offset + length;
      let position = offset;
      for (let index = firstRangeEndingAfter(offset); position < end; index++) {
        const start = Math.min(starts[index] ?? end, end);
        if (start > position) yield { offset: position, length: start - position, hole: true };
        position = Math.max(position, start);
        const dataEnd = Math.min(ends[index] ?? end, end);
        if (dataEnd > position) yield { offset: position, length: dataEnd - position, hole: false };
        position = Math.max(position, dataEnd);
      }
    },
  };
}

/** Segments widened to whole units; those without a unit between them are one. */
function dataRanges(
  segments: NonNullable<BlockSource["segments"]>,
  sizeBytes: number,
): { starts: number[]; ends: number[] } {
  const starts: number[] = [];
  const ends: number[] = [];
  let previousEnd = 0;
  for (const { offset, length } of segments) {
    if (length === 0) continue;
    if (!(length > 0 && offset >= previousEnd && offset + length <= sizeBytes))
      throw new NbdError(
        "option_invalid",
        `cannot serve a disk: its segment of ${length} bytes at ${offset} is not after ${previousEnd} and within ${sizeBytes}`,
      );
    previousEnd = offset + length;
    const start = offset - (offset % HOLE_UNIT_BYTES);
    const end = Math.min(sizeBytes, Math.ceil(previousEnd / HOLE_UNIT_BYTES) * HOLE_UNIT_BYTES);
    if (starts.length > 0 && start <= ends.at(-1)!) ends[ends.length - 1] = end;
    else {
      starts.push(start);
      ends.push(end);
    }
  }
  return { starts, ends };
}
