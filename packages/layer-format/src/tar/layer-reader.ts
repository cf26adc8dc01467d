import { bytesToByteString } from "../byte-string.js";
import { displayPath } from "../display-path.js";
import { LayerFormatError } from "../errors.js";
import type { FileKind } from "../file-tree.js";
import type { LayerEntry } from "../layer.js";
import { DEFAULT_LAYER_LIMITS, type LayerLimits } from "../limits.js";
import { applyPaxRecords, paxInteger, paxValue } from "./pax-header.js";
import type { PaxRecords } from "./pax-records.js";
import {
  createSpanReader,
  layOutSpans,
  paxSparseFormat,
  readExtensionSpans,
  readHeaderSpans,
  readRecordSpans,
  type SpanReader,
  type SparseFormat,
  type SparseLayout,
  type Spans,
} from "./sparse-map.js";
import { type BlockFeed, createBlockFeed, END_OF_ARCHIVE } from "./blocks.js";
import { composeEntry, entryKind } from "./entry.js";
import { createExtensionReader, type ExtensionReader, isExtension } from "./extensions.js";
import { isZeroBlock, parseHeader, type TarHeader } from "./header.js";
import { BLOCK_BYTES, GNU_REAL_SIZE, isHeaderOnly, TYPE } from "./layout.js";
import { parseNumeric } from "./number.js";
import type { Refuse } from "./refusal.js";

const EXTENT_BYTES = 16;

/** Takes what a layer's tar says, in its order. */
export interface LayerSink {
  /** @param dataOffset where a file's data begins in the tar: a multiple of 512, from which it goes on without its holes */
  entry(entry: LayerEntry, dataOffset: number): void;
  /** Data of the file whose entry came last, without holes and padding. Valid only during the call. */
  contents(bytes: Uint8Array): void;
}

/** Reads a layer as its bytes come. After it has thrown, every call throws the same error. */
export interface LayerReader {
  push(chunk: Uint8Array): void;
  /** The bytes have ended: throws if the tar may not end here. */
  end(): void;
}

export interface LayerReaderOptions {
  limits?: Partial<LayerLimits> | undefined;
}

/**
 * Reads the tar of a layer: V7, ustar, star, GNU and PAX, sparse files of every GNU format.
 *
 * It refuses what Go's archive/tar refuses, on which containerd and Docker are built, and beyond that: truncated padding,
 * entries of a type that no layer may have, whiteouts of nothing, owners and devices that are none, and what passes a limit.
 * Memory is bounded by the limits, whatever the chunks are.
 *
 * @throws {LayerFormatError} from `push` and `end`: `tar_invalid`, `layer_invalid` or `layer_limit`, naming entry and rule.
 */
export function createLayerReader(sink: LayerSink, options: LayerReaderOptions = {}): LayerReader {
  return new TarLayerReader(sink, { ...DEFAULT_LAYER_LIMITS, ...options.limits });
}

/** What is known of an entry until all of its header blocks have come. */
interface Pending {
  readonly header: TarHeader;
  readonly kind: FileKind | "hardlink";
  /** Bytes that follow the headers, a sparse map in the data included. */
  readonly storedBytes: number;
}

class TarLayerReader implements LayerReader {
  readonly #sink: LayerSink;
  readonly #limits: LayerLimits;
  readonly #feed: BlockFeed;
  readonly #extensions: ExtensionReader;
  #failure: unknown;
  #tarBytes = 0;
  #entryCount = 0;
  #metadataBytes = 0;
  #fileBytes = 0;
  #contentOffset = 0;

  #zeroBlock = false;
  /** The name of the entry at work, as far as it is known. */
  #name: string | undefined;
  /** A sparse entry whose map has not come whole; which of the two readers there is tells its format. */
  #pending: Pending | undefined;
  #gnuSpans: Spans | undefined;
  #spanReader: SpanReader | undefined;
  #mapBytes = 0;
  /** Whether the data at work is for the sink. */
  #emitting = false;

  constructor(sink: LayerSink, limits: LayerLimits) {
    this.#sink = sink;
    this.#limits = limits;
    this.#extensions = createExtensionReader(limits, this.#refuse);
    this.#feed = createBlockFeed({
      block: (bytes, at) => this.#block(bytes, at),
      data: (bytes) => {
        if (!this.#extensions.data(bytes) && this.#emitting) this.#sink.contents(bytes);
      },
    });
  }

  push(chunk: Uint8Array): void {
    this.#guard(() => {
      this.#tarBytes += chunk.length;
      const { tarBytes } = this.#limits;
      if (this.#tarBytes > tarBytes) this.#refuse("layer_limit", `the tar has over ${tarBytes} bytes`);
      this.#feed.push(chunk);
    });
  }

  end(): void {
    this.#guard(() => {
      const position = this.#feed.position();
      if (position === "ended") return;
      if (position !== "boundary") this.#refuse("tar_invalid", `the tar ends inside a ${position}`);
      if (this.#pending !== undefined) this.#refuse("tar_invalid", "the tar ends inside a sparse map");
    });
  }

  #guard(work: () => void): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      work();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  readonly #refuse: Refuse = (code, rule) => {
    const subject =
      this.#name === undefined
        ? `layer at byte ${this.#feed.blockOffset()}`
        : `layer entry "${displayPath(this.#name)}"`;
    throw new LayerFormatError(code, `cannot read ${subject}: ${rule}`);
  };

  #block(block: Uint8Array, at: number): number {
    if (this.#pending !== undefined) return this.#mapBlock(this.#pending, block, at);
    this.#name = undefined;
    if (block[at] === 0 && isZeroBlock(block, at)) {
      if (this.#zeroBlock) return END_OF_ARCHIVE;
      this.#zeroBlock = true;
      return 0;
    }
    if (this.#zeroBlock) this.#refuse("tar_invalid", "a zero block is followed by something else");
    const header = parseHeader(block, at, this.#refuse);
    if (header.size < 0 && !isHeaderOnly(header.type)) this.#refuse("tar_invalid", "the size is negative");
    return isExtension(header.type) ? this.#extensions.begin(header) : this.#beginEntry(header, block, at);
  }

  #beginEntry(header: TarHeader, block: Uint8Array, at: number): number {
    const { pax, longName, longLink } = this.#extensions.take();
    this.#name = longName || header.name;
    if (pax !== undefined) applyPaxRecords(header, pax, this.#limits, this.#refuse);
    if (longName !== "") header.name = longName;
    if (longLink !== "") header.linkName = longLink;
    this.#name = header.name;
    const kind = entryKind(header, this.#refuse);
    const storedBytes = kind === "file" ? header.size : 0;
    if (storedBytes < 0) this.#refuse("tar_invalid", "the size is negative");
    if (!Number.isSafeInteger(storedBytes)) {
      this.#refuse("layer_limit", `the size is over ${Number.MAX_SAFE_INTEGER} bytes`);
    }
    const pending = { header, kind, storedBytes };
    if (header.type === TYPE.gnuSparse) return this.#beginGnuSparse(pending, block, at);
    const format = pax === undefined ? undefined : paxSparseFormat(pax);
    if (pax === undefined || format === undefined) return this.#emit(pending, { dataBytes: storedBytes }, storedBytes);
    return this.#beginPaxSparse(pending, pax, format);
  }

  #beginGnuSparse(pending: Pending, block: Uint8Array, at: number): number {
    const { header } = pending;
    if (header.format !== "gnu") this.#refuse("tar_invalid", "only a GNU header can have an old sparse map");
    header.size = parseNumeric(block, at, GNU_REAL_SIZE);
    if (!(header.size >= 0)) this.#refuse("tar_invalid", "the sparse file's size is not one");
    const spans: Spans = [];
    if (!readHeaderSpans(block, at, spans, this.#refuse)) return this.#emitSparse(pending, spans, pending.storedBytes);
    this.#pending = pending;
    this.#gnuSpans = spans;
    this.#mapBytes = 0;
    return 0;
  }

  #beginPaxSparse(pending: Pending, pax: PaxRecords, format: SparseFormat): number {
    const { header, kind, storedBytes } = pending;
    const name = paxValue(pax, "GNU.sparse.name");
    if (name !== undefined) header.name = this.#name = bytesToByteString(name);
    if (kind !== "file") this.#refuse("tar_invalid", `a ${kind} cannot be sparse`);
    const size = paxValue(pax, "GNU.sparse.size") ?? paxValue(pax, "GNU.sparse.realsize");
    if (size !== undefined) header.size = paxInteger(size, "GNU.sparse.size", this.#refuse);
    if (header.size < 0) this.#refuse("tar_invalid", "the sparse file's size is negative");
    if (format === "records") {
      return this.#emitSparse(pending, readRecordSpans(pax, this.#limits, this.#refuse), storedBytes);
    }
    this.#pending = pending;
    this.#spanReader = createSpanReader(this.#limits, this.#refuse);
    this.#mapBytes = 0;
    return this.#awaitMapBlock(storedBytes);
  }

  /** Takes a block of the map that stands between the header and the data of a sparse entry. */
  #mapBlock(pending: Pending, block: Uint8Array, at: number): number {
    this.#mapBytes += BLOCK_BYTES;
    const { headerBytes } = this.#limits;
    if (this.#mapBytes > headerBytes) this.#refuse("layer_limit", `the sparse map has over ${headerBytes} bytes`);
    const spans = this.#gnuSpans;
    if (spans !== undefined) {
      if (readExtensionSpans(block, at, spans, this.#refuse)) return 0;
      return this.#emitSparse(pending, spans, pending.storedBytes);
    }
    const left = pending.storedBytes - this.#mapBytes;
    const reader = this.#spanReader;
    if (reader?.push(block, at)) return this.#emitSparse(pending, reader.spans, left);
    return this.#awaitMapBlock(left);
  }

  #awaitMapBlock(dataLeft: number): number {
    if (dataLeft < BLOCK_BYTES) this.#refuse("tar_invalid", "the data ends inside the sparse map");
    return 0;
  }

  #emitSparse(pending: Pending, spans: Spans, storedBytes: number): number {
    this.#pending = this.#gnuSpans = this.#spanReader = undefined;
    const layout = layOutSpans(spans, pending.header.size, this.#limits, this.#refuse);
    if (layout.dataBytes !== storedBytes) {
      this.#refuse("tar_invalid", `the sparse map has ${layout.dataBytes} bytes of data, the archive ${storedBytes}`);
    }
    return this.#emit(pending, layout, storedBytes);
  }

  #emit({ header, kind }: Pending, layout: SparseLayout, storedBytes: number): number {
    const entry = composeEntry(header, kind, layout, this.#contentOffset, this.#limits, this.#refuse);
    this.#emitting = entry?.kind === "file";
    if (entry !== undefined) {
      this.#count(entry);
      this.#sink.entry(entry, this.#feed.blockOffset() + BLOCK_BYTES);
      if (this.#emitting) this.#contentOffset += storedBytes;
    }
    return storedBytes;
  }

  #count(entry: LayerEntry): void {
    const { entries, metadataBytes, fileBytes } = this.#limits;
    this.#entryCount++;
    if (this.#entryCount > entries) this.#refuse("layer_limit", `the layer has over ${entries} entries`);
    this.#metadataBytes += indexedBytes(entry);
    if (this.#metadataBytes > metadataBytes) {
      this.#refuse("layer_limit", `the layer's names, links, xattrs and extents have over ${metadataBytes} bytes`);
    }
    if (entry.kind === "file") this.#fileBytes += entry.size;
    if (!(this.#fileBytes <= fileBytes)) {
      this.#refuse("layer_limit", `the layer's files have over ${fileBytes} bytes with their holes`);
    }
  }
}

/** What `LayerLimits.metadataBytes` counts. */
function indexedBytes(entry: LayerEntry): number {
  let bytes = entry.path.length + entry.linkTarget.length + EXTENT_BYTES * (entry.extents?.length ?? 0);
  if (entry.xattrs.size > 0) {
    for (const [name, value] of entry.xattrs) bytes += name.length + value.length;
  }
  return bytes;
}
