import type { CallOptions, Digest } from "@lamella/refs";

import type { LayerEntry } from "../../layer.js";
import { createLayerReader, type LayerSink } from "../../tar/layer-reader.js";
import type { LayerLimits } from "../../limits.js";
import { createByteMeter } from "./byte-meter.js";
import { type Compression, decompress, type DecompressLimits, detectCompression } from "../compression/decompress.js";
import { IndexBuilder } from "../archive/builder.js";
import { ContentHasher, layerHash } from "../archive/hash.js";

export interface CheckTarOptions extends CallOptions {
  /** Takes the entries as they are read; reading goes on when it has resolved. */
  onEntries?: ((entries: readonly LayerEntry[]) => Promise<void> | void) | undefined;
  limits?: Partial<LayerLimits> | undefined;
}

export interface CheckLayerBlobOptions extends CheckTarOptions {
  decompressLimits?: Partial<DecompressLimits> | undefined;
}

/** What a layer's blob has turned out to be. */
export interface LayerSummary {
  readonly compression: Compression;
  readonly digest: Digest;
  readonly size: number;
  readonly diffID: Digest;
  /** The same for layers that say the same, in whatever order and dialect of tar (see `writeLayer`). */
  readonly layerHash: Digest;
  /** Bytes of the tar. */
  readonly uncompressedSize: number;
  /** Entries of the layer, whiteouts included. */
  readonly entryCount: number;
}

const SNIFF_BYTES = 6;

/**
 * The bytes of a layer's tar as they come, each chunk after the strict reader has taken it (`createLayerReader`): what comes out to
 * the end is a layer.
 *
 * @throws {LayerFormatError} what the reader refuses; what `tar` throws.
 */
export function checkTar(tar: AsyncIterable<Uint8Array>, options: CheckTarOptions = {}): AsyncGenerator<Uint8Array> {
  return checkInto({ entry: () => undefined, contents: () => undefined }, tar, options);
}

async function* checkInto(
  sink: LayerSink,
  tar: AsyncIterable<Uint8Array>,
  { onEntries, limits, signal }: CheckTarOptions,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  let entries: LayerEntry[] = [];
  const entry = (read: LayerEntry, dataOffset: number): void => {
    sink.entry(read, dataOffset);
    if (onEntries !== undefined) entries.push(read);
  };
  const reader = createLayerReader({ entry, contents: (bytes) => sink.contents(bytes) }, { limits });
  for await (const chunk of tar) {
    signal?.throwIfAborted();
    reader.push(chunk);
    if (entries.length > 0) await onEntries?.(entries);
    entries = [];
    yield chunk;
  }
  signal?.throwIfAborted();
  reader.end();
}

/**
 * Reads a layer's blob, whatever its compression, strictly and to its end. Of its files nothing is kept, of its entries what a layer archive
 * would have in its index, for the layer hash.
 *
 * @throws {LayerFormatError} what `decompress` and the reader refuse; what `blob` throws.
 */
export async function checkLayerBlob(
  blob: AsyncIterable<Uint8Array>,
  options: CheckLayerBlobOptions = {},
): Promise<LayerSummary> {
  const { decompressLimits, signal } = options;
  signal?.throwIfAborted();
  const transported = createByteMeter();
  const uncompressed = createByteMeter();
  const builder = new IndexBuilder();
  const hasher = new ContentHasher(builder);
  const sink: LayerSink = {
    entry: (entry) => hasher.begin(builder.add(entry), entry),
    contents: (bytes) => hasher.update(bytes),
  };
  const sniffed = sniff(blob);
  const tar = decompress(transported.measure(sniffed.bytes, { signal }), { limits: decompressLimits, signal });
  const checked = checkInto(sink, uncompressed.measure(tar, { signal }), options);
  while ((await checked.next()).done !== true);
  const { digest: diffID, size: uncompressedSize } = uncompressed.result();
  return {
    compression: detectCompression(sniffed.head()),
    ...transported.result(),
    diffID,
    layerHash: layerHash(builder, builder.canonicalOrder()),
    uncompressedSize,
    entryCount: builder.entryCount,
  };
}

/** The bytes as they come, of which the first are seen. */
function sniff(blob: AsyncIterable<Uint8Array>): { bytes: AsyncIterable<Uint8Array>; head(): Uint8Array } {
  let head = Buffer.alloc(0);
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for await (const chunk of blob) {
      if (head.length < SNIFF_BYTES) head = Buffer.concat([head, chunk.subarray(0, SNIFF_BYTES - head.length)]);
      yield chunk;
    }
  }
  return { bytes: bytes(), head: () => head };
}
