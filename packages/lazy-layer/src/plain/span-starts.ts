import { PLAIN_SPAN_BYTES, SPAN_BYTES } from "./plain-index.js";
import type { SpanStart, SpanStarts } from "./span-cutter.js";
import type { GzipEntryPoint } from "./gzip-walker.js";

const NOTHING = new Uint8Array();

/** Of a blob that is the tar. */
export function plainStarts(): SpanStarts {
  return {
    after: (offset) => roundUp(offset, PLAIN_SPAN_BYTES),
    take: (offset) => startAt("none", offset),
  };
}

/** Of a gzip blob, from the points that are added in order. */
export function gzipStarts(): SpanStarts & { add(point: GzipEntryPoint): void } {
  const points: GzipEntryPoint[] = [];
  return {
    add: (point) => void points.push(point),
    after: () => points[0]?.outputOffset ?? Infinity,
    take() {
      const { blobOffset, bit, prefix, history, isMember } = points.shift()!;
      if (isMember) return startAt("gzip", blobOffset);
      return { kind: "deflate", blobOffset, bit, prefix, history };
    },
  };
}

/** Of a zstd blob: where the output goes on with a frame that is entered, and evenly after that. */
export function zstdStarts(): SpanStarts & { enter(blobOffset: number): void } {
  let blobOffset = 0;
  let enteredAt: number | undefined;
  return {
    enter(offset) {
      blobOffset = offset;
      enteredAt = undefined;
    },
    after(offset) {
      // The first that is asked for is that of the next byte.
      enteredAt ??= offset;
      return enteredAt + roundUp(offset - enteredAt, SPAN_BYTES);
    },
    take: () => startAt("zstd", blobOffset),
  };
}

function startAt(kind: "none" | "gzip" | "zstd", blobOffset: number): SpanStart {
  return { kind, blobOffset, bit: 0, prefix: NOTHING, history: 0 };
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
