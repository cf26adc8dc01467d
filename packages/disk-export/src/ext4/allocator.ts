import type { BlockRange } from "./extents.js";
import type { Geometry } from "./geometry.js";

/** Gives out the free blocks of a file system in ascending order, leaving none out. */
export interface Allocator {
  /** The next blocks that are not reserved, as few ranges as there can be. */
  take(count: number): BlockRange[];
  /** Takes `count` blocks if the next are in one range; says whether it did. */
  takeRun(count: number): boolean;
  /** Every free block before this one has been taken. */
  position(): number;
}

export function createAllocator({ reserved, blockCount }: Pick<Geometry, "reserved" | "blockCount">): Allocator {
  let next = 0;
  let reservedIndex = 0;

  /** Moves on to a free block, if that is not one, and gives where the free ones end. */
  function skipReserved(): number {
    for (;;) {
      const range = reserved[reservedIndex];
      if (range === undefined) return blockCount;
      if (next < range.start) return range.start;
      next = range.start + range.length;
      reservedIndex += 1;
    }
  }

  return {
    take(count) {
      const ranges: BlockRange[] = [];
      for (let missing = count; missing > 0;) {
        const length = Math.min(missing, skipReserved() - next);
        if (length <= 0) throw new RangeError(`cannot take ${missing} more blocks: all ${blockCount} are taken`);
        ranges.push({ start: next, length });
        next += length;
        missing -= length;
      }
      return ranges;
    },
    takeRun(count) {
      if (skipReserved() - next < count) return false;
      next += count;
      return true;
    },
    position: () => next,
  };
}
