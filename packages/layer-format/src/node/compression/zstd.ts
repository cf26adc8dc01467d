import type { Transform } from "node:stream";
import * as zlib from "node:zlib";

import type { CallOptions } from "@lamella/refs";
import { Decompress } from "fzstd";

import { LayerFormatError } from "../../errors.js";
import { createXxh64, type Xxh64 } from "../../xxh64.js";
import { createZstdFrameReader, type ZstdFrameSink } from "../../zstd-frames.js";
import { transformBytes } from "./stream.js";

/** From Node 22.15 on; the types are those of Node 20. */
const { createZstdDecompress } = zlib as {
  createZstdDecompress?: (options: {
    chunkSize: number;
    params: Record<number, number>;
  }) => Transform & { readonly bytesWritten: number };
};
const ZSTD_D_WINDOW_LOG_MAX = 100;
const CHUNK_BYTES = 1 << 20;
/** A block of 4 bytes can stand for 128 KiB of output, so that this much input makes no more than 16 MiB at once. */
const PORTABLE_INPUT_BYTES = 512;

export interface ZstdOptions extends CallOptions {
  /** The greatest window that a frame may ask for. */
  windowBytes: number;
  /** Use the portable decoder even where zlib has one. */
  portable?: boolean | undefined;
}

/** Decompresses zstd: any number of frames, skippable ones dropped, checksums checked, dictionaries refused. */
export function decompressZstd(source: AsyncIterable<Uint8Array>, options: ZstdOptions): AsyncGenerator<Uint8Array> {
  const { portable = createZstdDecompress === undefined } = options;
  return portable || createZstdDecompress === undefined
    ? decompressPortably(source, options)
    : transformBytes(
        cutFrames(source, options.windowBytes),
        createZstdDecompress({
          chunkSize: CHUNK_BYTES,
          params: { [ZSTD_D_WINDOW_LOG_MAX]: Math.max(10, Math.ceil(Math.log2(options.windowBytes))) },
        }),
        damaged,
        { signal: options.signal, keepChunks: true },
      );
}

/**
 * Frames as zlib needs them: it stops where one ends inside a chunk, accepts a truncated one and allocates whatever window it
 * asks for. So chunks end with their frame, and skippable frames are left out.
 */
async function* cutFrames(source: AsyncIterable<Uint8Array>, windowBytes: number): AsyncGenerator<Uint8Array> {
  const ready: Uint8Array[] = [];
  let pieces: Uint8Array[] = [];
  const gather = (bytes: Uint8Array): void => void pieces.push(new Uint8Array(bytes));
  const release = (): void => {
    if (pieces.length > 0) ready.push(Buffer.concat(pieces));
    pieces = [];
  };
  const sink: ZstdFrameSink = {
    begin: gather,
    block: gather,
    endBlock: () => undefined,
    end(_contentSize, checksum) {
      if (checksum !== undefined) gather(littleEndian(checksum));
      release();
    },
  };
  const frames = createZstdFrameReader(sink, windowBytes);
  for await (const chunk of source) {
    frames.push(chunk);
    release();
    yield* ready.splice(0);
  }
  frames.end();
}

function littleEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

async function* decompressPortably(
  source: AsyncIterable<Uint8Array>,
  { signal, windowBytes }: ZstdOptions,
): AsyncGenerator<Uint8Array> {
  const output: Uint8Array[] = [];
  const frames = createZstdFrameReader(
    createFrameDecoder((bytes) => output.push(bytes)),
    windowBytes,
  );
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += PORTABLE_INPUT_BYTES) {
      signal?.throwIfAborted();
      frames.push(chunk.subarray(at, at + PORTABLE_INPUT_BYTES));
      yield* output.splice(0);
    }
  }
  frames.end();
}

interface Frame {
  /** Without the checksum, which fzstd does not look at. */
  readonly header: Uint8Array;
  /** Only where the frame has a checksum. */
  readonly hash: Xxh64 | undefined;
  readonly contentSize: number | undefined;
  /** From when it is known whether the frame is small. */
  decoder: Decompress | undefined;
  /** Whole blocks for the decoder. */
  waiting: Uint8Array[];
  bytes: number;
}

const CHECKSUM_FLAG = 0x04;
const SINGLE_SEGMENT_FLAG = 0x20;
const COMPRESSED_BLOCK = 2;
const MAX_BLOCK_BYTES = 128 * 1024;
/** A frame of more is decoded block by block. */
const SMALL_FRAME_BLOCKS = 8;

/**
 * Decodes block by block, and checks what fzstd leaves unchecked: the content's size and its checksum.
 *
 * The blocks of a small frame wait for its last one: then the window need be no larger than what they can hold. fzstd allocates
 * the window and moves all of it at each block, which for frames of 64 KiB with a window of 8 MiB takes six times as long, measured.
 */
function createFrameDecoder(output: (bytes: Uint8Array) => void): ZstdFrameSink {
  let frame: Frame | undefined;
  let pieces: Uint8Array[] = [];

  function decode(current: Frame, header: Uint8Array | undefined, isLast: boolean): void {
    current.decoder ??= new Decompress((bytes) => {
      current.bytes += bytes.length;
      current.hash?.update(bytes);
      output(bytes);
    });
    // fzstd is given whole blocks, and told of the last: it would wait for more of a frame of under 18 bytes.
    const blocks = Buffer.concat(header === undefined ? current.waiting : [header, ...current.waiting]);
    current.waiting = [];
    try {
      current.decoder.push(blocks, isLast);
    } catch (error) {
      throw damaged("a block cannot be decoded", error);
    }
  }

  return {
    begin(bytes, contentSize) {
      const descriptor = bytes[4] ?? 0;
      frame = {
        header: Object.assign(new Uint8Array(bytes), { 4: descriptor & ~CHECKSUM_FLAG }),
        hash: (descriptor & CHECKSUM_FLAG) === 0 ? undefined : createXxh64(),
        contentSize,
        decoder: undefined,
        waiting: [],
        bytes: 0,
      };
    },
    block(bytes) {
      // Not slice(), which gives no copy of a Buffer.
      pieces.push(new Uint8Array(bytes));
    },
    endBlock(isLast) {
      if (frame === undefined) return;
      frame.waiting.push(Buffer.concat(pieces));
      pieces = [];
      if (frame.decoder !== undefined) decode(frame, undefined, isLast);
      else if (frame.waiting.length > SMALL_FRAME_BLOCKS) decode(frame, frame.header, isLast);
      else if (isLast) decode(frame, headerOfSmall(frame), isLast);
    },
    end(contentSize, checksum) {
      if (frame === undefined) return;
      if (contentSize !== undefined && contentSize !== frame.bytes) throw damaged("a frame's size is wrong");
      if (checksum !== undefined && checksum !== frame.hash?.digestLow()) throw damaged("a frame's checksum is wrong");
      frame = undefined;
    },
  };
}

/** The header of a frame whose blocks are all there: with a window for what they can hold, where the frame's is larger. */
function headerOfSmall({ header, contentSize, waiting }: Frame): Uint8Array {
  const maxBytes = waiting.reduce((sum, block) => sum + maxContentBytes(block), 0);
  if (contentSize !== undefined && contentSize > maxBytes) throw damaged("a frame's size is wrong");
  // Its window is its content's size.
  if (((header[4] ?? 0) & SINGLE_SEGMENT_FLAG) !== 0) return header;
  const exponent = Math.max(0, Math.ceil(Math.log2(maxBytes)) - 10);
  return Object.assign(new Uint8Array(header), { 5: Math.min(header[5] ?? 0, exponent << 3) });
}

/** What a block can hold at most, by its header (RFC 8878, section 3.1.1.2). */
function maxContentBytes(block: Uint8Array): number {
  const [low = 0, middle = 0, high = 0] = block;
  return ((low >> 1) & 3) === COMPRESSED_BLOCK ? MAX_BLOCK_BYTES : (low >> 3) + (middle << 5) + (high << 13);
}

function damaged(rule: string, cause?: unknown): LayerFormatError {
  return new LayerFormatError("compression_invalid", `cannot decompress layer: the zstd stream is damaged: ${rule}`, {
    cause,
  });
}
