import type { Extent } from "../file-tree.js";
import { BLOCK_BYTES } from "./layout.js";

/** A sparse file as an archive stores it. */
export interface SparsePlan {
  /** GNU tar manual, "Storing Sparse Files", version 1.0: the map in decimal lines, padded to a block; it precedes the data. */
  readonly map: Uint8Array;
  /** Bytes of data: the extents', and the zeros that align them. */
  readonly storedBytes: number;
  /** Zeros and data in turns, beginning with zeros. */
  readonly runs: readonly number[];
}

/**
 * GNU tar begins every range at a block of the archive, so that ranges are widened to whole blocks of the file, and it finds
 * the end of a file that ends in a hole by an empty range there.
 */
export function planSparse(extents: readonly Extent[], size: number): SparsePlan {
  const spans: number[] = [];
  const runs: number[] = [];
  let zeros = 0;
  let spanStart = 0;
  let at = 0;
  for (const { offset, length } of extents) {
    const start = offset - (offset % BLOCK_BYTES);
    if (runs.length === 0) spanStart = at = start;
    else if (start > alignUp(at, size)) {
      const end = alignUp(at, size);
      spans.push(spanStart, end - spanStart);
      zeros = end - at;
      spanStart = at = start;
    }
    runs.push(zeros + offset - at, length);
    zeros = 0;
    at = offset + length;
  }
  const end = alignUp(at, size);
  if (runs.length > 0) {
    spans.push(spanStart, end - spanStart);
    runs.push(end - at);
  }
  if (runs.length === 0 || end < size) spans.push(size, 0);
  return { map: encodeMap(spans), storedBytes: runs.reduce((sum, run) => sum + run, 0), runs };
}

function alignUp(at: number, size: number): number {
  return Math.min(Math.ceil(at / BLOCK_BYTES) * BLOCK_BYTES, size);
}

function encodeMap(spans: readonly number[]): Uint8Array {
  const text = new TextEncoder().encode(`${[spans.length / 2, ...spans].join("\n")}\n`);
  const map = new Uint8Array(Math.ceil(text.length / BLOCK_BYTES) * BLOCK_BYTES);
  map.set(text);
  return map;
}

/** Puts a plan's zeros between the data of a file's extents. Chunks are valid as long as those of the contents. */
export async function* alignContents(
  contents: AsyncIterable<Uint8Array>,
  { runs }: SparsePlan,
): AsyncGenerator<Uint8Array> {
  let index = 0;
  let dataLeft = 0;
  for await (const chunk of contents) {
    for (let at = 0; at < chunk.length;) {
      if (dataLeft === 0) {
        yield new Uint8Array(runs[index] ?? 0);
        dataLeft = runs[index + 1] ?? chunk.length;
        index += 2;
      }
      const part = chunk.subarray(at, at + dataLeft);
      yield part;
      dataLeft -= part.length;
      at += part.length;
    }
  }
  yield new Uint8Array(runs[index] ?? 0);
}
