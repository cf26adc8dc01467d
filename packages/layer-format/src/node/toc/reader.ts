import { type Gunzip, gunzipSync } from "node:zlib";

import {
  type BlobRange,
  type CallOptions,
  type Descriptor,
  digestAlgorithm,
  digestOf,
  isDigest,
  type Digest,
  type RangeFetcher,
  RefsError,
} from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import { parseHeader } from "../../tar/header.js";
import { BLOCK_BYTES, TYPE } from "../../tar/layout.js";
import { DEFAULT_TOC_LIMITS, readTocDocument, type TocLimits } from "../../toc/document.js";
import { readFooter, readPosition, type TocLocation } from "../../toc/footer.js";
import {
  CHUNKED_CHECKSUM_ANNOTATIONS,
  CHUNKED_POSITION_ANNOTATIONS,
  MAX_TOC_BYTES,
  TOC_DIGEST_ANNOTATION,
  TOC_NAME,
} from "../../toc/layout.js";
import type { LayerToc } from "../../toc/toc.js";
import { decompress, DEFAULT_DECOMPRESS_LIMITS } from "../compression/decompress.js";

export interface ReadTocOptions extends CallOptions {
  /** The blob that holds the table of contents of an eStargz layer whose footer says that it is elsewhere; a function is asked for it only then. */
  externalToc?: Uint8Array | ((options: CallOptions) => Promise<Uint8Array | undefined>) | undefined;
  limits?: Partial<TocLimits> | undefined;
}

/** One request brings the footer and most tables of small layers. */
const TAIL_BYTES = 64 * 1024;
const RATIO_FREE_BYTES = 4 * 2 ** 20;
/** A table that shrinks less goes into one piece of memory. */
const USUAL_RATIO = 10;

/**
 * Finds and reads the table of contents of an eStargz or zstd:chunked layer by ranges: the end of the blob or the place that an annotation
 * names, then the table. Undefined if the blob has none, or has it elsewhere and none was given: then it is read as any layer is.
 *
 * The table is checked against the annotations of the descriptor that speak of it; `isVouchedFor` says whether there was one.
 *
 * @throws {RefsError} `digest_mismatch` if the table is not the one that an annotation promises; `size_mismatch` if the blob ends early.
 * @throws {LayerFormatError} `toc_invalid`, `layer_limit` (over 50 MiB, packed or not), `compression_invalid`.
 */
export async function readToc(
  source: RangeFetcher,
  descriptor: Descriptor,
  options: ReadTocOptions = {},
): Promise<LayerToc | undefined> {
  options.signal?.throwIfAborted();
  const blob = openTail(source, descriptor, options);
  const location = await locate(blob, descriptor);
  if (location === undefined) return undefined;
  const packed = await (location.toc === undefined ? externalToc(options) : readPacked(blob, descriptor, location.toc));
  if (packed === undefined) return undefined;
  const { format, dataEnd, rawLength } = location;
  const checksum = annotationDigest(descriptor, CHUNKED_CHECKSUM_ANNOTATIONS);
  if (format === "zstd:chunked") check(descriptor, packed, checksum);
  const unpacked = await unpack(packed, descriptor, options);
  const json = format === "estargz" ? tarContent(unpacked, descriptor) : unpacked;
  if (rawLength !== undefined && rawLength !== json.length) {
    throw invalid(descriptor, `it has ${json.length} bytes, not ${rawLength}`);
  }
  const promised = annotationDigest(descriptor, [TOC_DIGEST_ANNOTATION]);
  const digest = check(descriptor, json, promised);
  const isVouchedFor = promised !== undefined || (format === "zstd:chunked" && checksum !== undefined);
  const limits = { ...DEFAULT_TOC_LIMITS, ...options.limits };
  return readTocDocument({ json, digest, format, isVouchedFor, dataEnd, limits });
}

/**
 * Where the table of contents of a layer lies in its blob, for who wants it on its way before others are read. Undefined if the blob has none that `readToc` would
 * read, or has it elsewhere.
 */
export async function findToc(
  source: RangeFetcher,
  descriptor: Descriptor,
  options: CallOptions = {},
): Promise<BlobRange | undefined> {
  options.signal?.throwIfAborted();
  const toc = (await locate(openTail(source, descriptor, options), descriptor))?.toc;
  return toc !== undefined && toc.length <= MAX_TOC_BYTES ? toc : undefined;
}

/** A blob's last bytes, and any range of it. */
interface Tail {
  tail(): Promise<Uint8Array>;
  range(offset: number, length: number): Promise<Uint8Array>;
}

function openTail(source: RangeFetcher, descriptor: Descriptor, { signal }: CallOptions): Tail {
  const tailStart = Math.max(0, descriptor.size - TAIL_BYTES);
  let tail: Uint8Array | undefined;

  async function fetch(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let filled = 0;
    for await (const chunk of source.fetchRange(descriptor, { offset, length }, { signal })) {
      signal?.throwIfAborted();
      if (chunk.length > length - filled) throw wrongSize(descriptor, offset, length);
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
    signal?.throwIfAborted();
    if (filled < length) throw wrongSize(descriptor, offset, length);
    return bytes;
  }

  return {
    async tail() {
      tail ??= await fetch(tailStart, descriptor.size - tailStart);
      return tail;
    },
    range(offset, length) {
      if (tail === undefined || offset < tailStart) return fetch(offset, length);
      return Promise.resolve(tail.subarray(offset - tailStart, offset - tailStart + length));
    },
  };
}

async function locate(blob: Tail, descriptor: Descriptor): Promise<TocLocation | undefined> {
  const position = annotation(descriptor, CHUNKED_POSITION_ANNOTATIONS);
  const promised = position === undefined ? undefined : readPosition(position, descriptor.size);
  if (promised !== undefined || descriptor.size === 0) return promised;
  return readFooter(await blob.tail(), descriptor.size);
}

async function externalToc({ externalToc: given, signal }: ReadTocOptions): Promise<Uint8Array | undefined> {
  return typeof given === "function" ? given({ signal }) : given;
}

function readPacked(blob: Tail, descriptor: Descriptor, toc: { offset: number; length: number }): Promise<Uint8Array> {
  if (toc.length > MAX_TOC_BYTES) return Promise.reject(tooLarge(descriptor));
  return blob.range(toc.offset, toc.length);
}

async function unpack(packed: Uint8Array, descriptor: Descriptor, { signal }: CallOptions): Promise<Uint8Array> {
  if (packed.length > MAX_TOC_BYTES) throw tooLarge(descriptor);
  const limits = { outputBytes: MAX_TOC_BYTES, ratioFreeBytes: RATIO_FREE_BYTES };
  const whole = unpackAtOnce(packed);
  if (whole !== undefined) return whole;
  const chunks: Uint8Array[] = [];
  for await (const chunk of decompress(once(packed), { signal, limits })) chunks.push(chunk);
  return chunks.length === 1 ? (chunks[0] ?? packed) : Buffer.concat(chunks);
}

/** In half the time. Undefined for what is no gzip, is damaged, is followed by something, or larger: the general way tells which. */
function unpackAtOnce(packed: Uint8Array): Uint8Array | undefined {
  if (packed[0] !== 0x1f) return undefined;
  try {
    const maxOutputLength = Math.min(MAX_TOC_BYTES, RATIO_FREE_BYTES + DEFAULT_DECOMPRESS_LIMITS.ratio * packed.length);
    const chunkSize = Math.min(maxOutputLength, 4096 + USUAL_RATIO * packed.length);
    const options = { chunkSize, maxOutputLength, info: true };
    const { buffer, engine } = gunzipSync(packed, options) as unknown as { buffer: Buffer; engine: Gunzip };
    return engine.bytesWritten === packed.length ? buffer : undefined;
  } catch {
    return undefined;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The content of the tar's one entry. */
function tarContent(tar: Uint8Array, descriptor: Descriptor): Uint8Array {
  if (tar.length < BLOCK_BYTES) throw invalid(descriptor, "its tar ends inside a block");
  const header = parseHeader(tar, 0, (_code, rule) => {
    throw invalid(descriptor, rule);
  });
  const isTable = header.name === TOC_NAME && (header.type === TYPE.file || header.type === TYPE.oldFile);
  if (!isTable) throw invalid(descriptor, `its tar does not begin with a file named ${TOC_NAME}`);
  if (!(header.size >= 0 && header.size <= tar.length - BLOCK_BYTES))
    throw invalid(descriptor, "its tar ends inside of it");
  return tar.subarray(BLOCK_BYTES, BLOCK_BYTES + header.size);
}

function annotation(descriptor: Descriptor, keys: readonly string[]): string | undefined {
  const annotations = descriptor.annotations ?? {};
  const key = keys.find((candidate) => Object.hasOwn(annotations, candidate));
  return key === undefined ? undefined : annotations[key];
}

function annotationDigest(descriptor: Descriptor, keys: readonly string[]): Digest | undefined {
  const text = annotation(descriptor, keys);
  if (text === undefined || isDigest(text)) return text;
  throw invalid(descriptor, "the annotation with its digest has none");
}

function check(descriptor: Descriptor, bytes: Uint8Array, promised: Digest | undefined): Digest {
  const digest = digestOf(bytes, promised === undefined ? "sha256" : digestAlgorithm(promised));
  if (promised !== undefined && promised !== digest) {
    const message = `cannot read the table of contents of layer ${descriptor.digest}: its digest is ${digest}, not ${promised}`;
    throw new RefsError("digest_mismatch", message);
  }
  return digest;
}

function invalid(descriptor: Descriptor, rule: string): LayerFormatError {
  return new LayerFormatError(
    "toc_invalid",
    `cannot read the table of contents of layer ${descriptor.digest}: ${rule}`,
  );
}

function tooLarge(descriptor: Descriptor): LayerFormatError {
  const rule = `it has over ${MAX_TOC_BYTES} bytes`;
  return new LayerFormatError(
    "layer_limit",
    `cannot read the table of contents of layer ${descriptor.digest}: ${rule}`,
  );
}

function wrongSize(descriptor: Descriptor, offset: number, length: number): RefsError {
  return new RefsError(
    "size_mismatch",
    `cannot read layer ${descriptor.digest}: the source did not give ${length} bytes at ${offset}`,
  );
}
