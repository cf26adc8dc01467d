import { type Layer, type LayerEntry, LayerFormatError } from "@lamella/layer-format";
import { type CallOptions, type Digest, verifyContent } from "@lamella/refs";

import type { BlobReader } from "../blob-reader.js";
import { type ChunkMemory, createChunkMemory } from "../chunk-memory.js";
import { LazyLayerError } from "../errors.js";
import { isWrong } from "../lazy-chunks.js";
import { decodePlainIndex } from "./index-reader.js";
import type { PlainIndexStore } from "./index-store.js";
import { encodePlainIndex } from "./index-writer.js";
import { indexLayer, type PlainIndexOptions } from "./make-index.js";
import type { PlainIndex, Span } from "./plain-index.js";
import { createSpanSource } from "./span-source.js";
import { readTarHeads } from "./tar-heads.js";

export interface PlainLayerOptions extends PlainIndexOptions {
  /** The digest of the uncompressed tar, as the image's configuration has it. */
  diffID: Digest;
  /** Where the index is looked for and kept. */
  indexes: PlainIndexStore;
  /** For spans that were unpacked, which are of 2 MiB; one of 32 MiB for this layer by default. */
  memory?: ChunkMemory | undefined;
}

const MEMORY_BYTES = 32 * 2 ** 20;

/**
 * Opens a layer that has no table of contents. What reads single files of it is an index (see `makePlainIndex`): where the store has none that is
 * sound, it is made, for which the whole blob is read once through the reader. From then on a read brings the spans that it touches.
 *
 * `contentOffset` is where a file's data begins in the tar; `readContents` reads any bytes of that. Each span is checked before a byte of it is given out.
 *
 * @throws {RefsError} `digest_mismatch`, `size_mismatch`: the blob is not its descriptor's, or the tar not that of the diffID.
 * @throws {LayerFormatError} what the tar's reader and the decompression refuse.
 * @throws {LazyLayerError} what the reader throws; from a read, `chunk_mismatch` for bytes that are not the index's, fetched twice, and `closed`.
 */
export async function openPlainLayer(reader: BlobReader, options: PlainLayerOptions): Promise<Layer> {
  const { diffID, memory = createChunkMemory(MEMORY_BYTES), signal } = options;
  signal?.throwIfAborted();
  const { index, entries } = (await findIndex(reader, options)) ?? (await addIndex(reader, options));
  const closing = new AbortController();
  const source = createSpanSource(reader, index, { memory, closing: closing.signal });
  const { spans, tarBytes } = index;

  async function* readContents(offset: number, length: number, call: CallOptions = {}): AsyncGenerator<Uint8Array> {
    call.signal?.throwIfAborted();
    closing.signal.throwIfAborted();
    const end = offset + length;
    if (!(offset >= 0 && length >= 0 && end <= tarBytes)) {
      const state = `the tar has ${tarBytes}`;
      throw new LayerFormatError("layer_invalid", `cannot read ${length} bytes at ${offset} of the layer: ${state}`);
    }
    for (let number = spanAt(spans, offset), at = offset; at < end; number++) {
      const span = spans[number]!;
      const spanEnd = span.offset + span.length;
      const loading = source.read(number, call);
      const bytes = await loading;
      closing.signal.throwIfAborted();
      // The next is unpacked while this one is used.
      if (spanEnd < end) source.read(number + 1, call).catch(() => undefined);
      yield bytes.subarray(at - span.offset, Math.min(end, spanEnd) - span.offset);
      at = spanEnd;
    }
  }

  return {
    diffID,
    entries,
    readContents,
    readContentsNow(offset, length) {
      const number = spanAt(spans, offset);
      const span = spans[number];
      if (closing.signal.aborted || span === undefined || offset + length > span.offset + span.length) return undefined;
      return source.readNow(number)?.subarray(offset - span.offset, offset - span.offset + length);
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new LazyLayerError("closed", `cannot read layer ${reader.descriptor.digest}: it is closed`));
      await source[Symbol.asyncDispose]();
    },
  };
}

interface OpenIndex {
  readonly index: PlainIndex;
  readonly entries: readonly LayerEntry[];
}

async function findIndex(reader: BlobReader, options: PlainLayerOptions): Promise<OpenIndex | undefined> {
  const { descriptor } = reader;
  const bytes = await options.indexes.get(descriptor.digest, options);
  if (bytes === undefined) return undefined;
  try {
    const index = decodePlainIndex(bytes);
    const isOfLayer =
      index.digest === descriptor.digest && index.blobBytes === descriptor.size && index.diffID === options.diffID;
    return isOfLayer ? await openIndex(index, options) : undefined;
  } catch (error) {
    // It is made anew.
    if (error instanceof LazyLayerError || error instanceof LayerFormatError) return undefined;
    throw error;
  }
}

async function openIndex(index: PlainIndex, options: PlainLayerOptions): Promise<OpenIndex> {
  return { index, entries: await readTarHeads(index.heads, index.tarBytes, options) };
}

async function addIndex(reader: BlobReader, options: PlainLayerOptions): Promise<OpenIndex> {
  const index = await makeIndex(reader, options);
  try {
    await options.indexes.put(index.digest, encodePlainIndex(index), options);
  } catch (error) {
    // It serves this time all the same.
    if (!(error instanceof LazyLayerError && error.code === "cache_unusable")) throw error;
  }
  return openIndex(index, options);
}

/** If the blob is not its descriptor's, it may be the cache that is damaged: it is emptied, and the blob fetched once more. */
async function makeIndex(reader: BlobReader, options: PlainLayerOptions): Promise<PlainIndex> {
  const { descriptor, size } = reader;
  const { diffID, signal } = options;
  for (let isAgain = false; ; isAgain = true) {
    try {
      return await indexLayer(reader.read(0, size, { signal }), { descriptor, diffID }, options);
    } catch (error) {
      if (error instanceof LazyLayerError || signal?.aborted) throw error;
      const damage = await findDamage(reader, options);
      if (damage === undefined || isAgain) throw damage ?? error;
      await reader.drop(0, size);
    }
  }
}

/** What tells that the blob is not its descriptor's. */
async function findDamage(reader: BlobReader, { signal }: CallOptions): Promise<Error | undefined> {
  try {
    for await (const _ of verifyContent(reader.descriptor, reader.read(0, reader.size, { signal }), { signal }));
    return undefined;
  } catch (error) {
    if (isWrong(error)) return error as Error;
    throw error;
  }
}

/** The span that holds a byte of the tar. */
function spanAt(spans: readonly Span[], offset: number): number {
  let low = 0;
  let high = spans.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (spans[middle]!.offset <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
