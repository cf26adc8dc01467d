import { createDigester, type Digester } from "@lamella/refs";

import { LayerFormatError } from "../errors.js";
import { isLandmark } from "./estargz-order.js";
import type { LayerEntry } from "../layer.js";
import { createBlockFeed, END_OF_ARCHIVE } from "../tar/blocks.js";
import { isExtension } from "../tar/extensions.js";
import { isZeroBlock, parseHeader } from "../tar/header.js";
import { BLOCK_BYTES } from "../tar/layout.js";
import { type EncodedChunk, encodeTocEntry } from "./encoder.js";
import { MAX_TOC_BYTES } from "./layout.js";

/** A part of the tar that is to be a gzip member of its own. */
export interface MemberParts {
  readonly parts: readonly Uint8Array[];
  readonly length: number;
}

export interface MemberOptions {
  /** Bytes of data of one chunk. */
  readonly chunkSize: number;
  /** Bytes that a member holds before the next file gets one of its own; 0 for one a chunk. */
  readonly minChunkSize: number;
}

/** Cuts a tar where the gzip members of an eStargz layer begin, and keeps what the table has to say of it. */
export interface MemberCutter {
  push(tar: Uint8Array): void;
  /** The members that are whole, in order. */
  take(): MemberParts[];
  /** Ends the last member, and gives the table's JSON in parts. `offsets` are those of the members in the blob. */
  finish(): void;
  table(offsets: readonly number[]): Uint8Array;
}

/** Headers without data between them fill members of this size: they are in memory until then. */
const MAX_HEADER_BYTES = 4 * 2 ** 20;
/** A table of more chunks would be over its limit: the digest alone has 71 bytes. */
const MAX_CHUNKS = MAX_TOC_BYTES / 100;

interface Chunk extends Omit<EncodedChunk, "offset"> {
  readonly member: number;
}

interface Row {
  readonly entry: LayerEntry;
  readonly chunks: Chunk[];
  digest: string;
}

const EMPTY_DIGEST = createDigester().digest();

/**
 * @param entries of the tar that will be pushed, in its order, as `writeTar` writes them without sparse files. Its end marker is
 * dropped: the table has to come before.
 */
export function createMemberCutter(entries: readonly LayerEntry[], options: MemberOptions): MemberCutter {
  const { chunkSize, minChunkSize } = options;
  const rows: Row[] = [];
  const whole: MemberParts[] = [];
  let parts: Uint8Array[] = [];
  let length = 0;
  let members = 0;
  let chunkCount = 0;
  let row: Row | undefined;
  /** Set while the body of an extended header, not a file's data, is at work. */
  let isExtensionBody = false;
  let padding = 0;
  let fileFilled = 0;
  let chunkFilled = 0;
  let memberChunks = 0;
  let chunkDigest: Digester | undefined;
  let fileDigest: Digester | undefined;

  const feed = createBlockFeed({ block, data });

  function block(bytes: Uint8Array, at: number): number {
    flushPadding();
    if (isZeroBlock(bytes, at)) return END_OF_ARCHIVE;
    append(bytes.subarray(at, at + BLOCK_BYTES));
    const header = parseHeader(bytes, at, (_code, rule) => {
      throw new Error(`cannot cut a tar of our own: ${rule}`);
    });
    isExtensionBody = isExtension(header.type);
    if (!isExtensionBody) beginEntry();
    const size = isExtensionBody ? header.size : row?.entry.kind === "file" ? row.entry.size : 0;
    padding = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
    return size;
  }

  function beginEntry(): void {
    const entry = entries[rows.length];
    if (entry === undefined) throw new Error("cannot cut a tar of our own: it has more entries than were written");
    row = { entry, chunks: [], digest: EMPTY_DIGEST };
    rows.push(row);
    fileFilled = 0;
    chunkFilled = 0;
    fileDigest = entry.kind === "file" && entry.size > 0 ? createDigester() : undefined;
  }

  function data(bytes: Uint8Array): void {
    if (isExtensionBody || row === undefined) return append(bytes);
    for (let at = 0; at < bytes.length;) {
      if (chunkFilled === 0) beginChunk(row);
      const part = bytes.subarray(at, at + chunkSize - chunkFilled);
      append(part);
      chunkDigest?.update(part);
      fileDigest?.update(part);
      chunkFilled += part.length;
      fileFilled += part.length;
      at += part.length;
      if (chunkFilled === chunkSize || fileFilled === row.entry.size) endChunk(row);
    }
    if (fileFilled === row.entry.size) row.digest = fileDigest?.digest() ?? EMPTY_DIGEST;
  }

  function beginChunk({ entry }: Row): void {
    if (++chunkCount > MAX_CHUNKS) {
      throw new LayerFormatError("layer_limit", `cannot write eStargz: the layer has over ${MAX_CHUNKS} chunks`);
    }
    if (memberChunks === 0 || length >= minChunkSize || isLandmark(entry)) endMember();
    memberChunks++;
    chunkDigest = createDigester();
  }

  function endChunk({ chunks }: Row): void {
    chunks.push({
      member: members,
      innerOffset: length - chunkFilled,
      chunkOffset: fileFilled - chunkFilled,
      size: chunkFilled,
      digest: chunkDigest?.digest() ?? EMPTY_DIGEST,
    });
    chunkFilled = 0;
  }

  function flushPadding(): void {
    if (padding > 0) append(new Uint8Array(padding));
    padding = 0;
    if (memberChunks === 0 ? length >= MAX_HEADER_BYTES : length >= chunkSize + minChunkSize + MAX_HEADER_BYTES)
      endMember();
  }

  /** A copy: what was pushed is the caller's. */
  function append(bytes: Uint8Array): void {
    parts.push(new Uint8Array(bytes));
    length += bytes.length;
  }

  function endMember(): void {
    if (length === 0) return;
    whole.push({ parts, length });
    parts = [];
    length = 0;
    memberChunks = 0;
    members++;
  }

  return {
    push: (tar) => feed.push(tar),
    take: () => whole.splice(0),
    finish() {
      flushPadding();
      endMember();
    },
    table: (offsets) => encodeTable(rows, offsets),
  };
}

const encoder = new TextEncoder();

function encodeTable(rows: readonly Row[], offsets: readonly number[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = 0;
  const add = (text: string): void => {
    const part = encoder.encode(text);
    length += part.length;
    if (length > MAX_TOC_BYTES) {
      throw new LayerFormatError(
        "layer_limit",
        `cannot write eStargz: the table of contents has over ${MAX_TOC_BYTES} bytes`,
      );
    }
    parts.push(part);
  };
  add('{"version":1,"entries":[');
  for (const [index, { entry, chunks, digest }] of rows.entries()) {
    const placed = chunks.map((chunk) => ({ ...chunk, offset: offsets[chunk.member] ?? 0 }));
    add(`${index === 0 ? "" : ","}\n${encodeTocEntry(entry, placed, digest).join(",\n")}`);
  }
  add("\n]}\n");
  const table = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    table.set(part, at);
    at += part.length;
  }
  return table;
}
