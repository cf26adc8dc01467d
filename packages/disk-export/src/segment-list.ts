import type { Entry, Extent } from "@lamella/layer-format";

import type { Segment } from "./disk-plan.js";

/** Records that follow each other are made together, up to this many bytes. */
const RUN_BYTES = 64 << 10;

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
  /** Ends the list. */
  finish(): Segment[];
}

export function createSegmentList<Item>(write: RecordWriter<Item>): SegmentList<Item> {
  const segments: Segment[] = [];
  let start = 0;
  let end = 0;
  let items: Item[] = [];
  let offsets: number[] = [];

  function closeRun(): void {
    if (items.length === 0) return;
    segments.push(recordSegment(start, end - start, items, offsets, write));
    items = [];
    offsets = [];
  }

  return {
    addRecord(offset, length, item) {
      if (offset + length - start > RUN_BYTES) closeRun();
      if (items.length === 0) start = offset;
      items.push(item);
      offsets.push(offset - start);
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
    finish() {
      closeRun();
      return segments;
    },
  };
}

function recordSegment<Item>(
  offset: number,
  length: number,
  items: readonly Item[],
  offsets: readonly number[],
  write: RecordWriter<Item>,
): Segment {
  function bytes(): Uint8Array {
    const target = new Uint8Array(length);
    for (let index = 0; index < items.length; index++) write(items[index]!, target, offsets[index]!);
    return target;
  }
  return { offset, length, bytes };
}

function* dataExtents(extents: readonly Extent[], offset: number, length: number): Generator<Extent> {
  const end = offset + length;
  for (const extent of extents) {
    const from = Math.max(extent.offset, offset);
    const to = Math.min(extent.offset + extent.length, end);
    if (from < to) yield { offset: from, length: to - from };
  }
}
