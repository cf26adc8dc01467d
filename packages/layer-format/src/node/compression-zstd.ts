import type { Transform } from "node:stream";
import * as zlib from "node:zlib";

import type { CallOptions } from "@lamella/refs";
import { Decompress } from "fzstd";

import { LayerFormatError } from "../errors.js";
import { createXxh64, type Xxh64 } from "../xxh64.js";
import { createZstdFrameReader } from "../zstd-frames.js";
import { transformBytes } from "./compression-stream.js";

/** From Node 22.15 on; the types are those of Node 20. */
const { createZstdDecompress } = zlib as {
  createZstdDecompress?: (options: {
    chunkSize: number;
    params: Record<number, number>;
  }) => Transform & { readonly bytesWritten: number };
};
const ZSTD_D_WINDOW_LOG_MAX = 100;
const CHUNK_BYTES = 1 << 20;

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
        checkFrames(source, options.windowBytes),
        createZstdDecompress({
          chunkSize: CHUNK_BYTES,
          params: { [ZSTD_D_WINDOW_LOG_MAX]: Math.max(10, Math.ceil(Math.log2(options.windowBytes))) },
        }),
        damaged,
        options,
      );
}

/** zlib would accept a truncated stream and allocate any window that the first frame asks for. */
async function* checkFrames(source: AsyncIterable<Uint8Array>, windowBytes: number): AsyncGenerator<Uint8Array> {
  const frames = createZstdFrameReader({ begin: ignore, bytes: ignore, end: ignore }, windowBytes);
  for await (const chunk of source) {
    frames.push(chunk);
    yield chunk;
  }
  frames.end();
}

function ignore(): void {}

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
    signal?.throwIfAborted();
    frames.push(chunk);
    yield* output.splice(0);
  }
  frames.end();
}

interface Frame {
  readonly decoder: Decompress;
  readonly hash: Xxh64;
  bytes: number;
}

/** Decodes frame by frame, and checks what fzstd leaves unchecked: the content's size and its checksum. */
function createFrameDecoder(output: (bytes: Uint8Array) => void): Parameters<typeof createZstdFrameReader>[0] {
  let frame: Frame | undefined;
  return {
    begin() {
      const current: Frame = { decoder: new Decompress(take), hash: createXxh64(), bytes: 0 };
      frame = current;
      function take(bytes: Uint8Array): void {
        current.bytes += bytes.length;
        current.hash.update(bytes);
        output(bytes);
      }
    },
    bytes(bytes) {
      try {
        // A copy: the decoder keeps a block's pieces until it is whole.
        frame?.decoder.push(bytes.slice());
      } catch (error) {
        throw damaged("a block cannot be decoded", error);
      }
    },
    end(contentSize, checksum) {
      if (frame === undefined) return;
      if (contentSize !== undefined && contentSize !== frame.bytes) throw damaged("a frame's size is wrong");
      if (checksum !== undefined && checksum !== frame.hash.digestLow()) throw damaged("a frame's checksum is wrong");
      frame = undefined;
    },
  };
}

function damaged(rule: string, cause?: unknown): LayerFormatError {
  return new LayerFormatError("compression_invalid", `cannot decompress layer: the zstd stream is damaged: ${rule}`, {
    cause,
  });
}
