import type { Entry, Extent } from "@lamella/layer-format";

import type { ByteSource, Segment } from "./disk-plan.js";

/** Records that follow each other are made together, up to this many bytes. */
const RUN_BYTES = 64 << 10;

/** A wider gap between records is not alignment: something else may lie there. */
const GAP_BYTES_MAX = 4095;

/** Writes one record at `at` of `target`, which is all zeros there. */
export type RecordWriter<Item> = (item: Item, target: Uint8Array, at: number) => void;

/**
 * Builds a plan's segments from its small parts, which are added in ascending order.
 *
 * Records lie close together and there is one or more for every inode, so those without file data between them share a segment; gaps
 * of a few bytes (alignment) are part of it.
 */
export interface SegmentList<Item> {
  /** `length` bytes at `offset` that the list's writer makes of `item`. */
  addRecord(offset: number, length: number, item: Item): void;
  /** `length` bytes at `offset` that `bytes` makes. */
  addBytes(offset: number, length: number, bytes: () => Uint8Array): void;
  /** `length` bytes of a file from `entryOffset`, at `offset`. The file's holes stay holes. */
  addData(offset: number, entry: Entry, entryOffset: number, length: number): void;
  /** `length` bytes of `source` from `sourceOffset`, at `offset`. What continues the segment before becomes part of it. */
  addSource(offset: number, length: number, source: ByteSource, sourceOffset: number): void;
  /** Ends the list. */
  finish(): Segment[];
}

export function createSegmentList<Item>(write: RecordWriter<Item>): SegmentList<Item> {
  const segments: Segment[] = [];
  // Of all segments together: a pair of arrays for each would take more memory than what is in them.
  const items: Item[] = [];
  const offsets: number[] = [];
  let first = 0;
  let start = 0;
  let end = 0;

  function closeRun(): void {
    if (items.length === first) return;
    segments.push(recordSegment(first, items.length, start, end - start));
    first = items.length;
  }

  function recordSegment(from: number, to: number, offset: number, length: number): Segment {
    function bytes(): Uint8Array {
      const target = new Uint8Array(length);
      for (let index = from; index < to; index++) write(items[index]!, target, offsets[index]! - offset);
      return target;
    }
    return { offset, length, bytes };
  }

  return {
    addRecord(offset, length, item) {
      if (offset + length - start > RUN_BYTES || offset - end > GAP_BYTES_MAX) closeRun();
      if (items.length === first) start = offset;
      items.push(item);
      offsets.push(offset);
      end = offset + length;
    },
    addBytes(offset, length, bytes) {
      closeRun();
      segments.push({ offset, length, bytes });
    },
    addData(offset, entry, entryOffset, length) {
      closeRun();
      if (entry.extents === undefined) {
        if (length > 0) segments.push({ offset, length, entry, entryOffset });
        return;
      }
      for (const extent of dataExtents(entry.extents, entryOffset, length)) {
        segments.push({
          offset: offset + extent.offset - entryOffset,
          length: extent.length,
          entry,
          entryOffset: extent.offset,
        });
      }
    },
    addSource(offset, length, source, sourceOffset) {
      closeRun();
      const last = segments.at(-1);
      const continues =
        last !== undefined &&
        "source" in last &&
        last.source === source &&
        last.offset + last.length === offset &&
        last.sourceOffset + last.length === sourceOffset;
      if (!continues) segments.push({ offset, length, source, sourceOffset });
      else segments[segments.length - 1] = { ...last, length: last.length + length };
    },
    finish() {
      closeRun();
      return segments;
    },
  };
}

function* dataExtents(extents: readonly Extent[], offset: number, length: number): Generator<Extent> {
  const end = offset + length;
  for (const extent of extents) {
    const from = Math.max(extent.offset, offset);
    const to = Math.min(extent.offset + extent.length, end);
    if (from < to) yield { offset: from, length: to - from };
  }
}
