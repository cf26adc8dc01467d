import type { Extent } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import type { DiskSource } from "./source.js";

const ZEROS = new Uint8Array(64 << 10);

/**
 * Where a file's bytes lie on its disk: for each run three numbers, its offset in the file, its offset on the disk and its length.
 * Ascending and disjoint; what is between is a hole. Numbers without objects, since a disk may have millions.
 */
export type Runs = readonly number[];

const NUMBERS = 3;

/** Adds a run behind the last, or to it. */
export function addRun(runs: number[], offset: number, diskOffset: number, length: number): void {
  const last = runs.length - NUMBERS;
  const lastLength = runs[last + 2] ?? 0;
  if (last >= 0 && runs[last]! + lastLength === offset && runs[last + 1]! + lastLength === diskOffset)
    runs[last + 2] = lastLength + length;
  else runs.push(offset, diskOffset, length);
}

/** The ranges of a file that hold data; undefined where all of it does. */
export function dataExtents(runs: Runs, size: number): Extent[] | undefined {
  const extents: { offset: number; length: number }[] = [];
  for (let at = 0; at < runs.length; at += NUMBERS) {
    const offset = runs[at]!;
    const length = Math.min(runs[at + 2]!, size - offset);
    if (length <= 0) break;
    const last = extents.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else extents.push({ offset, length });
  }
  const [first] = extents;
  const isWhole = size === 0 || (first !== undefined && first.offset === 0 && first.length === size);
  return isWhole ? undefined : extents;
}

/** Where on the disk a file begins; 0 where no byte of it is there. */
export function firstDiskOffset(runs: Runs): number {
  return runs[1] ?? 0;
}

/** Bytes of a file, holes as zeros. */
export async function* readRuns(
  source: DiskSource,
  runs: Runs,
  { offset, length, signal }: CallOptions & { offset: number; length: number },
): AsyncGenerator<Uint8Array> {
  const end = offset + length;
  let position = offset;
  for (let at = firstRunEndingAfter(runs, offset); at < runs.length && position < end; at += NUMBERS) {
    const start = runs[at]!;
    if (start >= end) break;
    if (start > position) yield* zeros(start - position, signal);
    const from = Math.max(start, position);
    const to = Math.min(start + runs[at + 2]!, end);
    yield* source.read(runs[at + 1]! + from - start, to - from, { signal });
    position = to;
  }
  yield* zeros(end - position, signal);
}

function* zeros(length: number, signal: AbortSignal | undefined): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= ZEROS.length) {
    signal?.throwIfAborted();
    yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
  }
}

function firstRunEndingAfter(runs: Runs, offset: number): number {
  let low = 0;
  let high = runs.length / NUMBERS;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = middle * NUMBERS;
    if (runs[at]! + runs[at + 2]! > offset) high = middle;
    else low = middle + 1;
  }
  return low * NUMBERS;
}
