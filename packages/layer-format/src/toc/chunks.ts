import type { Digest } from "@lamella/refs";

import type { Refuse } from "../tar/refusal.js";
import { type RawTocEntry, tocDigest, tocNumber, tocText } from "./fields.js";
import type { TocFormat, TocChunk } from "./toc.js";

type Draft = { -readonly [Key in keyof TocChunk]: TocChunk[Key] };

/** A file whose chunks are being read. */
interface OpenFile {
  readonly size: number;
  readonly contentOffset: number;
  readonly digest: Digest | undefined;
  readonly endOffset: number;
  /** Bytes that the chunks so far have. */
  covered: number;
  count: number;
}

/** Gathers a table's chunks, in its order. */
export interface ChunkList {
  readonly chunks: readonly TocChunk[];
  /** Begins a file with its first chunk, which its own entry describes. `isKept` is false for data that is not the layer's. */
  begin(raw: RawTocEntry, size: number, contentOffset: number, isKept: boolean): void;
  /** Takes an entry of type `chunk`. */
  add(raw: RawTocEntry): void;
  /** Ends the file that was begun, if any. */
  end(): void;
  /** Where the data that came last begins in the blob. */
  position(): number;
}

export interface ChunkListOptions {
  readonly format: TocFormat;
  /** Where the blob's data ends. */
  readonly dataEnd: number;
  /** The most that one chunk may have: it is verified in memory. */
  readonly chunkBytes: number;
  readonly refuse: Refuse;
}

export function createChunkList({ format, dataEnd, chunkBytes, refuse }: ChunkListOptions): ChunkList {
  const chunks: Draft[] = [];
  let file: OpenFile | undefined;
  let isKept = true;
  let last: Draft | undefined;
  /** The first of the chunks that share the member of the last. */
  let memberStart = 0;

  function push(raw: RawTocEntry, open: OpenFile): void {
    const declared = tocNumber(raw.chunkSize, "chunkSize", refuse);
    const size = declared === 0 ? open.size - open.covered : declared;
    if (tocNumber(raw.chunkOffset, "chunkOffset", refuse) !== open.covered) {
      refuse("toc_invalid", `a gap or an overlap is at byte ${open.covered} of its chunks`);
    }
    if (size <= 0 || size > open.size - open.covered) refuse("toc_invalid", "its chunks have more bytes than it");
    const chunk = place(raw, open, size);
    if (!chunk.isZeros && size > chunkBytes)
      refuse("layer_limit", `a chunk has ${size} bytes, the limit is ${chunkBytes}`);
    open.covered += size;
    open.count++;
    last = chunk;
    if (isKept) chunks.push(chunk);
  }

  function place(raw: RawTocEntry, open: OpenFile, size: number): Draft {
    const blobOffset = tocNumber(raw.offset, "offset", refuse);
    const innerOffset = tocNumber(raw.innerOffset, "innerOffset", refuse);
    if (blobOffset >= dataEnd) refuse("toc_invalid", "its data is outside of the blob");
    if (last !== undefined && blobOffset < last.blobOffset)
      refuse("toc_invalid", "its data is not in the blob's order");
    if (last !== undefined && blobOffset === last.blobOffset && innerOffset < last.innerOffset + last.size) {
      refuse("toc_invalid", "its data overlaps what comes before");
    }
    if (last === undefined || blobOffset > last.blobOffset) {
      endMember(blobOffset);
      memberStart = chunks.length;
    }
    return {
      contentOffset: open.contentOffset + open.covered,
      size,
      blobOffset,
      blobEnd: dataEnd,
      innerOffset,
      digest: chunkDigest(raw, open, size),
      isZeros: isZeros(raw),
    };
  }

  function chunkDigest(raw: RawTocEntry, open: OpenFile, size: number): Digest {
    if (open.digest !== undefined && raw.chunkDigest === open.digest) return open.digest;
    const own = tocDigest(raw.chunkDigest, "chunkDigest", refuse);
    // Where a file is one chunk, either digest may stand for both.
    return own ?? (size === open.size ? open.digest : undefined) ?? refuse("toc_invalid", "a chunk has no digest");
  }

  function isZeros(raw: RawTocEntry): boolean {
    const type = tocText(raw.chunkType, "chunkType", refuse);
    if (type !== "" && type !== "zeros") refuse("toc_invalid", "the type of a chunk is not known");
    return type === "zeros" && format === "zstd:chunked";
  }

  function endMember(blobEnd: number): void {
    for (let index = memberStart; index < chunks.length; index++) {
      const chunk = chunks[index];
      if (chunk !== undefined) chunk.blobEnd = Math.min(chunk.blobEnd, blobEnd);
    }
  }

  function end(): void {
    if (file === undefined) return;
    if (file.covered !== file.size) refuse("toc_invalid", `its chunks end at byte ${file.covered} of ${file.size}`);
    if (isKept && last !== undefined) {
      if (file.endOffset > last.blobOffset && file.endOffset < last.blobEnd) last.blobEnd = file.endOffset;
      if (file.count > 1 && file.digest !== undefined) last.fileDigest = file.digest;
    }
    file = undefined;
  }

  return {
    chunks,
    begin(raw, size, contentOffset, kept) {
      isKept = kept;
      const digest = tocDigest(raw.digest, "digest", refuse);
      file = {
        size,
        contentOffset,
        digest,
        endOffset: tocNumber(raw.endOffset, "endOffset", refuse),
        covered: 0,
        count: 0,
      };
      push(raw, file);
    },
    add(raw) {
      push(raw, file ?? refuse("toc_invalid", "a chunk belongs to no file"));
    },
    end,
    position: () => last?.blobOffset ?? 0,
  };
}
