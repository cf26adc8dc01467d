import { LayerFormatError, type LayerLimits } from "@lamella/layer-format";
import { type Compression, decompress, type DecompressLimits, detectCompression } from "@lamella/layer-format/node";
import {
  type CallOptions,
  createDigester,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  RefsError,
  verifyContent,
} from "@lamella/refs";

import { encodePlainIndex } from "./index-writer.js";
import { createGzipWalker, type GzipWalker } from "./gzip-walker.js";
import { arrangeSpans, findOversized, MAX_SPAN_BLOB_BYTES, type PlainIndex, SPAN_BYTES } from "./plain-index.js";
import { createSpanCutter, type SpanStarts } from "./span-cutter.js";
import { gzipStarts, plainStarts, zstdStarts } from "./span-starts.js";
import { createTarHeadsRecorder } from "./tar-heads.js";
import { decompressSegments } from "./zstd-segments.js";

export interface PlainIndexOptions extends CallOptions {
  limits?: Partial<LayerLimits> | undefined;
  decompressLimits?: Partial<DecompressLimits> | undefined;
}

/** A layer to be indexed: what its blob has to be, and its tar. */
export interface PlainLayerIdentity {
  readonly descriptor: Descriptor;
  readonly diffID: Digest;
}

const SNIFF_BYTES = 6;

/**
 * Makes the index of a layer without a table of contents, for a `PlainIndexStore` or to be pushed, in one pass over its blob, which is verified in all: its digest, its checksums, its tar and its diffID. In memory is the
 * index, about 1% of the tar, and a few MiB.
 *
 * @throws {RefsError} `digest_mismatch`, `size_mismatch`: the blob is not its descriptor's, or the tar not that of the diffID.
 * @throws {LayerFormatError} what `decompress` and `createLayerReader` refuse; `layer_limit` for a blob that is mostly blocks of
 * nothing, and for an index of over 512 MiB.
 */
export async function makePlainIndex(
  blob: AsyncIterable<Uint8Array>,
  layer: PlainLayerIdentity,
  options: PlainIndexOptions = {},
): Promise<Uint8Array> {
  return encodePlainIndex(await indexLayer(blob, layer, options));
}

/** The same, not yet in bytes. */
export async function indexLayer(
  blob: AsyncIterable<Uint8Array>,
  { descriptor, diffID }: PlainLayerIdentity,
  options: PlainIndexOptions = {},
): Promise<PlainIndex> {
  const { limits, signal } = options;
  signal?.throwIfAborted();
  const { starts, tar } = await openTar(verifyContent(descriptor, blob, { signal }), options);
  const cutter = createSpanCutter(starts);
  const heads = createTarHeadsRecorder({ limits });
  const digester = createDigester(digestAlgorithm(diffID));
  let tarBytes = 0;
  for await (const chunk of tar) {
    signal?.throwIfAborted();
    digester.update(chunk);
    heads.push(chunk);
    cutter.push(chunk);
    tarBytes += chunk.length;
  }
  signal?.throwIfAborted();
  const found = digester.digest();
  if (found !== diffID) {
    const state = `the tar's digest is ${found}, not ${diffID}`;
    throw new RefsError("digest_mismatch", `cannot index layer ${descriptor.digest}: ${state}`);
  }
  const { digest, size } = descriptor;
  const spans = arrangeSpans(cutter.end(), size);
  if (findOversized(spans) !== undefined) {
    const rule = `over ${MAX_SPAN_BLOB_BYTES} bytes of the blob hold no more than a span of the tar`;
    throw new LayerFormatError("layer_limit", `cannot index layer ${digest}: ${rule}`);
  }
  return { digest, blobBytes: size, diffID, tarBytes, spans, heads: heads.end() };
}

interface OpenTar {
  readonly starts: SpanStarts;
  readonly tar: AsyncIterable<Uint8Array>;
}

async function openTar(
  blob: AsyncGenerator<Uint8Array>,
  { decompressLimits: limits, signal }: PlainIndexOptions,
): Promise<OpenTar> {
  const { compression, rest } = await peekCompression(blob);
  if (compression === "none") return { starts: plainStarts(), tar: rest };
  if (compression === "zstd") {
    const starts = zstdStarts();
    return { starts, tar: decompressSegments(rest, (offset) => starts.enter(offset), { limits, signal }) };
  }
  const starts = gzipStarts();
  const walker = createGzipWalker(SPAN_BYTES, (point) => starts.add(point));
  return { starts, tar: decompress(followed(rest, walker), { limits, signal }) };
}

/** Lets zlib have only what the walker has followed: no output comes before it is known where its spans begin. */
async function* followed(source: AsyncIterable<Uint8Array>, walker: GzipWalker): AsyncGenerator<Uint8Array> {
  let held: Uint8Array = new Uint8Array();
  let passed = 0;
  for await (const chunk of source) {
    walker.push(chunk);
    const first = held.subarray(0, walker.position - passed);
    const second = chunk.subarray(0, walker.position - passed - first.length);
    held = Buffer.concat([held.subarray(first.length), chunk.subarray(second.length)]);
    passed += first.length + second.length;
    if (first.length > 0) yield first;
    if (second.length > 0) yield second;
  }
  walker.end();
  if (held.length > 0) yield held;
}

async function peekCompression(
  source: AsyncGenerator<Uint8Array>,
): Promise<{ compression: Compression; rest: AsyncGenerator<Uint8Array> }> {
  let head: Uint8Array = new Uint8Array();
  while (head.length < SNIFF_BYTES) {
    const next = await source.next();
    if (next.done === true) break;
    // A copy in any case: a source may reuse its buffer.
    head = Buffer.concat([head, next.value]);
  }
  async function* rest(): AsyncGenerator<Uint8Array> {
    if (head.length > 0) yield head;
    yield* source;
  }
  try {
    return { compression: detectCompression(head), rest: rest() };
  } catch (error) {
    await source.return(undefined);
    throw error;
  }
}
