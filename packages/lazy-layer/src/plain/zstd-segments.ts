import { createZstdFrameReader, type ZstdFrameSink } from "@lamella/layer-format";
import { decompress, type DecompressLimits, DEFAULT_DECOMPRESS_LIMITS } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";

/** Frames are taken together until they have so much: of a layer with a frame for each file not every one needs a decoder. */
const SEGMENT_BYTES = 256 * 1024;

export interface ZstdSegmentOptions extends CallOptions {
  limits?: Partial<DecompressLimits> | undefined;
}

interface Piece {
  readonly bytes: Uint8Array;
  /** A segment ends with it. */
  readonly isEnd: boolean;
}

/**
 * Unpacks a zstd stream in segments of whole frames, each by itself.
 * @param onSegment takes where a segment begins in the stream, before its output
 * @throws {LayerFormatError} what `decompress` refuses
 */
export async function* decompressSegments(
  source: AsyncIterable<Uint8Array>,
  onSegment: (offset: number) => void,
  options: ZstdSegmentOptions,
): AsyncGenerator<Uint8Array> {
  const pieces = cutSegments(source, options);
  let offset = 0;
  let isDone = false;

  async function* segment(first: Uint8Array, isWhole: boolean): AsyncGenerator<Uint8Array> {
    offset += first.length;
    yield first;
    for (let isEnd = isWhole; !isEnd;) {
      const next = await pieces.next();
      if (next.done === true) break;
      offset += next.value.bytes.length;
      ({ isEnd } = next.value);
      yield next.value.bytes;
    }
  }

  try {
    for (;;) {
      const next = await pieces.next();
      if (next.done === true) break;
      onSegment(offset);
      yield* decompress(segment(next.value.bytes, next.value.isEnd), options);
    }
    isDone = true;
  } finally {
    const closing = isDone ? undefined : pieces.return(undefined);
    // After an abort the source may never answer; it closes when it does.
    if (options.signal?.aborted) closing?.catch(() => undefined);
    else await closing;
  }
}

async function* cutSegments(
  source: AsyncIterable<Uint8Array>,
  { limits, signal }: ZstdSegmentOptions,
): AsyncGenerator<Piece> {
  let boundaries: number[] = [];
  const ignore = (): void => undefined;
  const sink: ZstdFrameSink = {
    begin: ignore,
    block: ignore,
    endBlock: ignore,
    end: ignore,
    boundary: (offset) => void boundaries.push(offset),
  };
  const frames = createZstdFrameReader(sink, limits?.windowBytes ?? DEFAULT_DECOMPRESS_LIMITS.windowBytes);
  let position = 0;
  let start = 0;
  for await (const chunk of source) {
    signal?.throwIfAborted();
    frames.push(chunk);
    let taken = 0;
    for (const boundary of boundaries) {
      if (boundary - start < SEGMENT_BYTES) continue;
      yield { bytes: chunk.subarray(taken, boundary - position), isEnd: true };
      taken = boundary - position;
      start = boundary;
    }
    boundaries = [];
    if (taken < chunk.length) yield { bytes: chunk.subarray(taken), isEnd: false };
    position += chunk.length;
  }
  frames.end();
}
