import { digestOf, isDigest, digestHex, type Digest } from "@lamella/refs";

import { LayerFormatError } from "../errors.js";
import type { Attributes, Extent } from "../file-tree.js";
import type { LayerEntry } from "../layer.js";
import { NO_XATTRS } from "../tree-inode.js";
import type { ArchiveTotals } from "./layer-archive-encoder.js";
import {
  CHECKSUM_BYTES,
  DIFF_ID_BYTES,
  FOOTER_BYTES,
  HEADER_BYTES,
  KINDS,
  MAGIC,
  VERSION,
} from "./layer-archive-layout.js";

export interface DecodedIndex extends ArchiveTotals {
  readonly diffID: Digest;
  readonly entries: readonly LayerEntry[];
}

/**
 * The entries of an idx file, checked against its checksum and its totals.
 * @throws {LayerFormatError} `archive_invalid`.
 */
export function decodeIndex(file: Buffer): DecodedIndex {
  if (file.length < HEADER_BYTES + FOOTER_BYTES) invalid(`it has ${file.length} bytes, fewer than any index`);
  if (file.toString("latin1", 0, MAGIC.length) !== MAGIC) invalid("it does not begin with the magic of one");
  const version = file.readUInt32LE(8);
  if (version !== VERSION) invalid(`its version is ${version}, not ${VERSION}`);
  const checked = file.subarray(0, file.length - CHECKSUM_BYTES);
  if (digestHex(digestOf(checked)) !== file.subarray(checked.length).toString("hex"))
    invalid("its checksum does not fit");

  const footerStart = file.length - FOOTER_BYTES;
  const diffID = file.toString("latin1", footerStart + 24, footerStart + 24 + DIFF_ID_BYTES).replace(/\0+$/, "");
  if (!isDigest(diffID)) invalid("its diffID is none");
  const totals = {
    entryCount: Number(file.readBigUInt64LE(footerStart)),
    contentsBytes: Number(file.readBigUInt64LE(footerStart + 8)),
    tarBytes: Number(file.readBigUInt64LE(footerStart + 16)),
  };
  const entries = new EntryDecoder(file, totals.contentsBytes).entries(footerStart);
  if (entries.length !== totals.entryCount) invalid(`it has ${entries.length} entries, not ${totals.entryCount}`);
  return { ...totals, diffID, entries };
}

class EntryDecoder {
  readonly #file: Buffer;
  readonly #contentsBytes: number;
  #position = HEADER_BYTES;
  /** Nothing is read beyond. */
  #end = 0;

  constructor(file: Buffer, contentsBytes: number) {
    this.#file = file;
    this.#contentsBytes = contentsBytes;
  }

  entries(end: number): LayerEntry[] {
    const entries: LayerEntry[] = [];
    while (this.#position < end) {
      this.#end = end;
      const length = this.#number();
      if (length > end - this.#position) invalid("an entry ends outside");
      this.#end = this.#position + length;
      entries.push(this.#entry());
      if (this.#position !== this.#end) invalid("an entry is longer than what it holds");
    }
    return entries;
  }

  #entry(): LayerEntry {
    const kind = KINDS[this.#number()] ?? invalid("an entry is of no known kind");
    const path = this.#text();
    const mode = this.#number();
    const uid = this.#number();
    const gid = this.#number();
    const mtimeSeconds = this.#signed();
    const mtimeNanoseconds = this.#number();
    const isFile = kind === "file";
    const fileSize = isFile ? this.#number() : 0;
    const contentOffset = isFile ? this.#number() : 0;
    const extents = isFile ? this.#extents() : undefined;
    const linkTarget = kind === "symlink" || kind === "hardlink" ? this.#text() : "";
    const isDevice = kind === "char" || kind === "block";
    const deviceMajor = isDevice ? this.#number() : 0;
    const deviceMinor = isDevice ? this.#number() : 0;
    const xattrs = this.#xattrs();
    const size = kind === "symlink" ? linkTarget.length : fileSize;
    const stored = extents?.reduce((sum, extent) => sum + extent.length, 0) ?? fileSize;
    if (contentOffset + stored > this.#contentsBytes) invalid("a file's data ends outside of the contents");
    const attributes = { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs };
    const entry = { path, kind, ...attributes, size, linkTarget, deviceMajor, deviceMinor, contentOffset };
    return extents === undefined ? entry : { ...entry, extents };
  }

  #extents(): Extent[] | undefined {
    const count = this.#number() - 1;
    if (count < 0) return undefined;
    const extents: Extent[] = [];
    let last = 0;
    for (let index = 0; index < count; index++) {
      const offset = last + this.#number();
      const length = this.#number();
      extents.push({ offset, length });
      last = offset + length;
    }
    return extents;
  }

  #xattrs(): Attributes["xattrs"] {
    const count = this.#number();
    if (count === 0) return NO_XATTRS;
    const xattrs = new Map<string, Uint8Array>();
    for (let index = 0; index < count; index++) {
      const name = this.#text();
      // A copy: a view would keep the whole index in memory.
      xattrs.set(name, Uint8Array.from(this.#bytes()));
    }
    return xattrs;
  }

  #text(): string {
    const start = this.#skip(this.#number());
    return this.#file.toString("latin1", start, this.#position);
  }

  #bytes(): Uint8Array {
    const start = this.#skip(this.#number());
    return this.#file.subarray(start, this.#position);
  }

  #skip(length: number): number {
    const start = this.#position;
    if (length > this.#end - start) invalid("a field ends outside of its entry");
    this.#position += length;
    return start;
  }

  #signed(): number {
    const value = this.#number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #number(): number {
    let value = 0;
    for (let scale = 1; this.#position < this.#end && scale <= 2 ** 49; scale *= 0x80) {
      const byte = this.#file[this.#position++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return invalid("a number is cut off or too large");
  }
}

function invalid(state: string): never {
  throw new LayerFormatError("archive_invalid", `cannot read the index: ${state}`);
}
