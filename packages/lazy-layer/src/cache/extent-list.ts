import type { BlobRange } from "@lamella/refs";

/** Parts of a blob that are at hand. They may overlap; none lies within another. */
export interface ExtentList {
  /** In the blob's order. */
  readonly extents: readonly BlobRange[];
  /** The one that holds a byte and reaches furthest behind it. */
  covering(offset: number): BlobRange | undefined;
  /** Where the first one that begins behind a byte begins. */
  nextAfter(offset: number): number | undefined;
  /** Gives those that the new one makes superfluous; undefined if it is that itself. */
  add(extent: BlobRange): BlobRange[] | undefined;
  remove(extent: BlobRange): void;
}

/** Since none lies within another, beginnings and ends ascend together. */
export function createExtentList(): ExtentList {
  const extents: BlobRange[] = [];

  /** How many begin at or before a byte. */
  function countUntil(offset: number): number {
    let low = 0;
    let high = extents.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((extents[middle]?.offset ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function covering(offset: number): BlobRange | undefined {
    const last = extents[countUntil(offset) - 1];
    return last !== undefined && endOf(last) > offset ? last : undefined;
  }

  return {
    extents,
    covering,
    nextAfter: (offset) => extents[countUntil(offset)]?.offset,
    add(extent) {
      const end = endOf(extent);
      const holder = covering(extent.offset);
      if (holder !== undefined && endOf(holder) >= end) return undefined;
      const at = countUntil(extent.offset - 1);
      let count = 0;
      for (let next = extents[at]; next !== undefined && endOf(next) <= end; next = extents[at + count]) count++;
      return extents.splice(at, count, extent);
    },
    remove({ offset, length }) {
      const at = countUntil(offset) - 1;
      const found = extents[at];
      if (found?.offset === offset && found.length === length) extents.splice(at, 1);
    },
  };
}

export function endOf({ offset, length }: BlobRange): number {
  return offset + length;
}
