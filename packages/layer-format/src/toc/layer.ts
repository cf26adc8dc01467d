import type { CallOptions, Digest } from "@lamella/refs";

import { LayerFormatError } from "../errors.js";
import type { Layer } from "../layer.js";
import type { ChunkSource, LayerToc } from "./toc.js";

export interface TocLayerOptions extends CallOptions {
  /** The digest of the uncompressed tar, as the image's configuration has it: only reading the layer whole can prove it. */
  diffID: Digest;
}

/** A chunk in memory. */
interface Loaded {
  readonly index: number;
  readonly bytes: Uint8Array;
}

const ZEROS = new Uint8Array(256 * 1024);

/**
 * A layer by its table of contents: the entries are there at once, data is asked for chunk by chunk when it is read.
 *
 * Nothing unverified is given out: a chunk that cannot be had or is another one ends the read with the source's error. The chunk
 * that was read last is kept, for readers that go forward in small steps; caches for more belong into the source.
 * @param options its signal ends every read, besides that of the read itself.
 */
export function layerFromToc(chunks: ChunkSource, toc: LayerToc, options: TocLayerOptions): Layer {
  options.signal?.throwIfAborted();
  let isClosed = false;
  let last: Loaded | undefined;

  async function* readContents(offset: number, length: number, call: CallOptions = {}): AsyncGenerator<Uint8Array> {
    const end = offset + length;
    const signal = joinSignals(options.signal, call.signal);
    signal?.throwIfAborted();
    if (isClosed) throw new Error("cannot read the layer: it is closed");
    if (!(offset >= 0 && length >= 0 && end <= toc.contentsBytes)) {
      const state = `the contents have ${toc.contentsBytes}`;
      throw new LayerFormatError("layer_invalid", `cannot read ${length} bytes at ${offset} of the layer: ${state}`);
    }
    const stop = length === 0 ? 0 : chunkAt(toc, end - 1) + 1;
    for (let index = chunkAt(toc, offset); index < stop;) {
      const chunk = toc.chunks[index];
      if (chunk === undefined) return;
      if (chunk.isZeros) {
        const stopAt = Math.min(end, chunk.contentOffset + chunk.size);
        yield* zeros(stopAt - Math.max(offset, chunk.contentOffset), signal);
        index++;
        continue;
      }
      if (last?.index === index) {
        yield cut(toc, last, offset, end);
        index++;
        continue;
      }
      const count = dataRun(toc, index, stop);
      for await (const bytes of chunks.readChunks(index, count, { signal })) {
        signal?.throwIfAborted();
        if (isClosed) throw new Error("cannot read the layer: it is closed");
        last = { index, bytes };
        yield cut(toc, last, offset, end);
        index++;
      }
    }
  }

  return {
    diffID: options.diffID,
    entries: toc.entries,
    readContents,
    readContentsNow(offset, length) {
      if (isClosed || options.signal?.aborted === true) return undefined;
      const index = chunkAt(toc, offset);
      const chunk = toc.chunks[index];
      if (chunk === undefined || chunk.isZeros || offset + length > chunk.contentOffset + chunk.size) return undefined;
      const bytes = last?.index === index ? last.bytes : chunks.heldChunk?.(index);
      return bytes === undefined ? undefined : cut(toc, { index, bytes }, offset, offset + length);
    },
    [Symbol.asyncDispose]() {
      isClosed = true;
      last = undefined;
      return Promise.resolve();
    },
  };
}

/** The chunk that holds a byte of the contents. */
function chunkAt({ chunks }: LayerToc, offset: number): number {
  let low = 0;
  let high = chunks.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((chunks[middle]?.contentOffset ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** How many chunks from `first` on, before `stop`, hold data. */
function dataRun({ chunks }: LayerToc, first: number, stop: number): number {
  let index = first;
  while (index < stop && chunks[index]?.isZeros === false) index++;
  return index - first;
}

function* zeros(length: number, signal: AbortSignal | undefined): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= ZEROS.length) {
    signal?.throwIfAborted();
    yield ZEROS.subarray(0, left);
  }
}

/** What of a chunk lies between two bytes of the contents. */
function cut({ chunks }: LayerToc, { index, bytes }: Loaded, offset: number, end: number): Uint8Array {
  const start = chunks[index]?.contentOffset ?? 0;
  return bytes.subarray(Math.max(0, offset - start), Math.min(bytes.length, end - start));
}

function joinSignals(first: AbortSignal | undefined, second: AbortSignal | undefined): AbortSignal | undefined {
  return first === undefined || second === undefined ? (first ?? second) : AbortSignal.any([first, second]);
}
