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
        options,
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
  readonly decoder: Decompress;
  /** Only where the frame has a checksum. */
  readonly hash: Xxh64 | undefined;
  bytes: number;
}

const CHECKSUM_FLAG = 0x04;

/** Decodes block by block, and checks what fzstd leaves unchecked: the content's size and its checksum. */
function createFrameDecoder(output: (bytes: Uint8Array) => void): ZstdFrameSink {
  let frame: Frame | undefined;
  /** fzstd is given whole blocks, and told of the last: it would wait for more of a frame of under 18 bytes. */
  let pieces: Uint8Array[] = [];

  return {
    begin(header) {
      const hash = ((header[4] ?? 0) & CHECKSUM_FLAG) === 0 ? undefined : createXxh64();
      const current: Frame = { decoder: new Decompress(take), hash, bytes: 0 };
      function take(bytes: Uint8Array): void {
        current.bytes += bytes.length;
        hash?.update(bytes);
        output(bytes);
      }
      frame = current;
      pieces = [Object.assign(new Uint8Array(header), { 4: (header[4] ?? 0) & ~CHECKSUM_FLAG })];
    },
    block(bytes) {
      // Not slice(), which gives no copy of a Buffer.
      pieces.push(new Uint8Array(bytes));
    },
    endBlock(isLast) {
      const block = Buffer.concat(pieces);
      pieces = [];
      try {
        frame?.decoder.push(block, isLast);
      } catch (error) {
        throw damaged("a block cannot be decoded", error);
      }
    },
    end(contentSize, checksum) {
      if (frame === undefined) return;
      if (contentSize !== undefined && contentSize !== frame.bytes) throw damaged("a frame's size is wrong");
      if (checksum !== undefined && checksum !== frame.hash?.digestLow()) throw damaged("a frame's checksum is wrong");
      frame = undefined;
    },
  };
}

function damaged(rule: string, cause?: unknown): LayerFormatError {
  return new LayerFormatError("compression_invalid", `cannot decompress layer: the zstd stream is damaged: ${rule}`, {
    cause,
  });
}
