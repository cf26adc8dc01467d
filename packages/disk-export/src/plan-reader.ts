import type { FileTree } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import type { DiskPlan, Segment } from "./disk-plan.js";
import { shownPath } from "./entry-path.js";
import { DiskExportError } from "./errors.js";
import { createMadeBytes } from "./made-bytes.js";
import type { MadeSegment } from "./made-bytes.js";

/** No chunk is longer. */
const CHUNK_BYTES = 1 << 20;
/** A piece of this size goes out as it is; smaller ones are gathered, so that 70,000 small files are not 70,000 chunks. */
const PASS_THROUGH_BYTES = 64 << 10;
/** What is kept of segments that were read in part. */
const KEPT_BYTES = 8 << 20;

/** One whose bytes are read, not made. */
type DataSegment = Exclude<Segment, MadeSegment>;

/** A plan but for what {@link createDiskPlan} adds. */
export interface DiskPlanParts extends Omit<DiskPlan, "read" | "kernel" | typeof Symbol.asyncDispose> {
  /** What the segments' entries are read from. */
  readonly tree: FileTree;
  readonly kernel?: string | undefined;
  /** Frees what the plan keeps beside its tree. Called once. */
  readonly dispose?: (() => PromiseLike<void>) | undefined;
}

/**
 * Completes a {@link DiskPlan}: a format decides where everything lies, this reads it.
 *
 * `read` throws `option_invalid` for a range that does not lie within the disk, and `tree_invalid` if the tree gives more or fewer
 * bytes than it was asked for. Reads may run at the same time.
 */
export function createDiskPlan({ tree, kernel, dispose, ...plan }: DiskPlanParts): DiskPlan {
  const zeros = new Uint8Array(CHUNK_BYTES);
  const madeBytes = createMadeBytes(KEPT_BYTES);
  let disposed: PromiseLike<void> | undefined;

  async function* read(offset: number, length: number, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array> {
    signal?.throwIfAborted();
    requireRange(plan.sizeBytes, offset, length);
    const end = offset + length;
    const gatherer = createGatherer(Math.min(CHUNK_BYTES, length));

    let position = offset;
    for (let index = firstSegmentEndingAfter(plan.segments, offset); position < end; index++) {
      const segment = plan.segments[index];
      const dataStart = Math.max(Math.min(segment?.offset ?? end, end), position);
      while (position < dataStart) {
        const count = Math.min(dataStart - position, zeros.length);
        for (const chunk of gatherer.push(count === zeros.length ? zeros : zeros.subarray(0, count))) {
          yield chunk;
          signal?.throwIfAborted();
        }
        position += count;
      }
      if (segment === undefined || position === end) break;

      const skipped = position - segment.offset;
      const count = Math.min(segment.offset + segment.length, end) - position;
      if ("bytes" in segment) {
        const isWhole = count === segment.length;
        const bytes = isWhole ? segment.bytes() : madeBytes(segment).subarray(skipped, skipped + count);
        for (const chunk of gatherer.push(bytes)) {
          yield chunk;
          signal?.throwIfAborted();
        }
      } else if (!gatherer.add(readNow(segment, skipped, count, gatherer.room()))) {
        let missing = count;
        for await (const bytes of readSegment(segment, skipped, count, signal)) {
          missing -= bytes.length;
          for (const chunk of gatherer.push(bytes)) {
            yield chunk;
            signal?.throwIfAborted();
          }
        }
        if (missing !== 0) {
          throw new DiskExportError(
            "tree_invalid",
            `cannot read ${"entry" in segment ? shownPath(segment.entry) : "stored data"}: its tree gave ${count - missing} of ${count} bytes`,
          );
        }
      }
      position += count;
    }
    yield* gatherer.rest();
  }

  /** Bytes of a small file that need no waiting; they have to be copied at once, and so to fit into `room`. */
  function readNow(segment: DataSegment, skipped: number, length: number, room: number): Uint8Array | undefined {
    if (length > room || "source" in segment) return undefined;
    return tree.readNow?.(segment.entry, segment.entryOffset + skipped, length);
  }

  function readSegment(
    segment: DataSegment,
    skipped: number,
    length: number,
    signal: AbortSignal | undefined,
  ): AsyncIterable<Uint8Array> {
    if ("source" in segment) return segment.source.read(segment.sourceOffset + skipped, length, { signal });
    return tree.read(segment.entry, { offset: segment.entryOffset + skipped, length, signal });
  }

  return {
    ...plan,
    kernel,
    read,
    [Symbol.asyncDispose]: () => (disposed ??= dispose?.() ?? Promise.resolve()),
  };
}

interface Gatherer {
  /** How long a piece may be for {@link add} to take it. */
  room(): number;
  /** Takes a small piece that has room, at once; says whether it did. */
  add(piece: Uint8Array | undefined): boolean;
  /** Takes a piece and gives the chunks that are complete with it. */
  push(piece: Uint8Array): Iterable<Uint8Array>;
  rest(): Iterable<Uint8Array>;
}

function createGatherer(capacity: number): Gatherer {
  let buffer: Uint8Array | undefined;
  let used = 0;

  function room(): number {
    return Math.min(capacity - used, PASS_THROUGH_BYTES - 1);
  }

  function add(piece: Uint8Array | undefined): boolean {
    if (piece === undefined || piece.length > room()) return false;
    buffer ??= new Uint8Array(capacity);
    buffer.set(piece, used);
    used += piece.length;
    return true;
  }

  function* rest(): Generator<Uint8Array> {
    if (buffer !== undefined && used > 0) yield buffer.subarray(0, used);
    used = 0;
  }

  function* cut(piece: Uint8Array): Generator<Uint8Array> {
    if (piece.length >= PASS_THROUGH_BYTES) {
      yield* rest();
      for (let at = 0; at < piece.length; at += CHUNK_BYTES) yield piece.subarray(at, at + CHUNK_BYTES);
      return;
    }
    buffer ??= new Uint8Array(capacity);
    for (let at = 0; at < piece.length;) {
      const part = piece.length - at <= capacity - used ? piece.subarray(at) : piece.subarray(at, at + capacity - used);
      buffer.set(part, used);
      at += part.length;
      used += part.length;
      if (used === capacity) yield* rest();
    }
  }

  /** Most pieces fit, and no generator is made for them. */
  function push(piece: Uint8Array): Iterable<Uint8Array> {
    return add(piece) ? [] : cut(piece);
  }

  return { room, add, push, rest };
}

/** The first segment of which a byte lies at `offset` or after it; the count of segments where there is none. */
function firstSegmentEndingAfter(segments: readonly Segment[], offset: number): number {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { offset: start, length } = segments[middle]!;
    if (start + length > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

function requireRange(sizeBytes: number, offset: number, length: number): void {
  const inside = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (inside && offset + length <= sizeBytes) return;
  throw new DiskExportError(
    "option_invalid",
    `cannot read ${length} bytes of a disk from ${offset}: it has ${sizeBytes}`,
  );
}
