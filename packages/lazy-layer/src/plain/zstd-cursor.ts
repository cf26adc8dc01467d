import { decompress } from "@lamella/layer-format/node";

import type { Span } from "./plain-index.js";

/** Unpacks spans of a zstd blob. A frame is entered at its beginning only: a decoder stands where it got to, for a reader that goes forward. */
export interface ZstdCursor {
  /** The bytes of a span, fewer where the frame ends before. One call at a time is at work; others wait. */
  read(span: Span): Promise<Uint8Array>;
  close(): Promise<void>;
}

interface Decoder {
  readonly blobOffset: number;
  readonly output: AsyncIterator<Uint8Array>;
  /** Bytes of output that were taken. */
  position: number;
  rest: Uint8Array;
}

/** @param compressed - the bytes of the blob that a span is unpacked from, in pieces that are fetched when they are asked for */
export function createZstdCursor(compressed: (span: Span) => AsyncIterable<Uint8Array>): ZstdCursor {
  let decoder: Decoder | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  async function decoderFor(span: Span): Promise<Decoder> {
    const isBefore = decoder?.blobOffset === span.blobOffset && decoder.position <= span.skippedBytes;
    if (decoder !== undefined && isBefore) return decoder;
    await drop();
    const output = decompress(compressed(span))[Symbol.asyncIterator]();
    decoder = { blobOffset: span.blobOffset, output, position: 0, rest: new Uint8Array() };
    return decoder;
  }

  async function drop(): Promise<void> {
    const old = decoder;
    decoder = undefined;
    await old?.output.return?.();
  }

  async function unpack(span: Span): Promise<Uint8Array> {
    const bytes = new Uint8Array(span.length);
    try {
      const open = await decoderFor(span);
      await take(open, span.skippedBytes - open.position);
      return bytes.subarray(0, await take(open, span.length, bytes));
    } catch (error) {
      await drop();
      throw error;
    }
  }

  return {
    read(span) {
      const result = turn.then(() => unpack(span));
      turn = result.catch(() => undefined);
      return result;
    },
    async close() {
      await turn;
      await drop();
    },
  };
}

/** Takes bytes of a decoder's output, into an array if there is one, and gives how many there were. */
async function take(decoder: Decoder, count: number, into?: Uint8Array): Promise<number> {
  let taken = 0;
  while (taken < count) {
    if (decoder.rest.length === 0) {
      const next = await decoder.output.next();
      if (next.done === true) break;
      decoder.rest = next.value;
    }
    const part = decoder.rest.subarray(0, count - taken);
    into?.set(part, taken);
    decoder.rest = decoder.rest.subarray(part.length);
    taken += part.length;
  }
  decoder.position += taken;
  return taken;
}
