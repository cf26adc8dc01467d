import { prepareEntryShape } from "../../entry-shape.js";
import type { Attributes, Extent } from "../../file-tree.js";
import type { LayerEntry, LayerEntryKind } from "../../layer.js";
import { NO_XATTRS } from "../../merge/inode.js";
import { invalidIndex } from "./footer.js";
import { KINDS } from "./layout.js";

prepareEntryShape();

/** Bytes of a file in the contents: its extents', or all. Nothing else has any. */
export function storedBytes({ kind, extents, size }: LayerEntry): number {
  if (kind !== "file") return 0;
  return extents === undefined ? size : extents.reduce((sum, extent) => sum + extent.length, 0);
}

/**
 * Entries from the bodies of an index, which come in pieces of any size; each piece's entries together.
 * @param contentsBytes - the size of the contents, outside of which no data may lie
 * @throws {LayerFormatError} `archive_invalid`
 */
export async function* decodeEntries(
  pieces: AsyncIterable<Buffer>,
  { entryCount, contentsBytes }: { entryCount: number; contentsBytes: number },
): AsyncGenerator<LayerEntry[]> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let wantedBytes = 0;
  let contentOffset = 0;
  let count = 0;
  for await (const piece of pieces) {
    pendingBytes += piece.length;
    // A copy: the piece is used again.
    if (pendingBytes < wantedBytes) {
      pending.push(Buffer.from(piece));
      continue;
    }
    const bytes = pending.length === 0 ? piece : Buffer.concat([...pending, piece]);
    const decoder = new EntryDecoder(bytes, contentsBytes);
    const entries: LayerEntry[] = [];
    for (;;) {
      wantedBytes = decoder.nextBytes();
      if (wantedBytes > bytes.length - decoder.position) break;
      const entry = decoder.entry(contentOffset);
      contentOffset += storedBytes(entry);
      entries.push(entry);
    }
    pending = decoder.position === bytes.length ? [] : [Buffer.from(bytes.subarray(decoder.position))];
    pendingBytes = bytes.length - decoder.position;
    count += entries.length;
    // Before they are given out: their numbers would have no content hash.
    if (count > entryCount) invalidIndex(`it has over ${entryCount} entries`);
    yield entries;
  }
  if (pendingBytes > 0) invalidIndex("an entry ends outside");
  if (count !== entryCount) invalidIndex(`it has ${count} entries, not ${entryCount}`);
  if (contentOffset !== contentsBytes) invalidIndex(`its files have ${contentOffset} bytes, not ${contentsBytes}`);
}

/** Reads bodies, each with its length before it, from a buffer. */
export class EntryDecoder {
  readonly #file: Buffer;
  readonly #contentsBytes: number;
  #position = 0;
  /** Nothing is read beyond. */
  #end: number;

  constructor(file: Buffer, contentsBytes: number) {
    this.#file = file;
    this.#contentsBytes = contentsBytes;
    this.#end = file.length;
  }

  /** Where the next entry begins. */
  get position(): number {
    return this.#position;
  }

  /** How many bytes the next entry has with its length, or more than there are if that is not known yet. */
  nextBytes(): number {
    const start = this.#position;
    this.#end = this.#file.length;
    // Eight bytes hold any length.
    if (this.#end - start < 8 && this.#file.subarray(start).every((byte) => byte >= 0x80)) return this.#end - start + 1;
    const length = this.#number();
    const bytes = this.#position - start + length;
    this.#position = start;
    return bytes;
  }

  /** @param contentOffset - where the entry's data would begin */
  entry(contentOffset: number): LayerEntry {
    this.#end = this.#file.length;
    const length = this.#number();
    if (length > this.#end - this.#position) invalidIndex("an entry ends outside");
    this.#end = this.#position + length;
    const entry = this.#body(contentOffset);
    if (this.#position !== this.#end) invalidIndex("an entry is longer than what it holds");
    return entry;
  }

  /** What an entry is sorted by, from bytes that may be cut off; undefined if they are too few. */
  key(): { path: string; kind: LayerEntryKind } | undefined {
    this.#number();
    const kind = this.#kind();
    const length = this.#number();
    if (length > this.#end - this.#position) return undefined;
    const start = this.#skip(length);
    return { kind, path: this.#file.toString("latin1", start, this.#position) };
  }

  #body(contentOffset: number): LayerEntry {
    const kind = this.#kind();
    const path = this.#text();
    const mode = this.#number();
    const uid = this.#number();
    const gid = this.#number();
    const mtimeSeconds = this.#signed();
    const mtimeNanoseconds = this.#number();
    const isFile = kind === "file";
    const fileSize = isFile ? this.#number() : 0;
    const extents = isFile ? this.#extents() : undefined;
    const linkTarget = kind === "symlink" || kind === "hardlink" ? this.#text() : "";
    const isDevice = kind === "char" || kind === "block";
    const deviceMajor = isDevice ? this.#number() : 0;
    const deviceMinor = isDevice ? this.#number() : 0;
    const xattrs = this.#xattrs();
    const whole: LayerEntry = {
      path,
      kind,
      mode,
      uid,
      gid,
      mtimeSeconds,
      mtimeNanoseconds,
      xattrs,
      size: kind === "symlink" ? linkTarget.length : fileSize,
      linkTarget,
      deviceMajor,
      deviceMinor,
      contentOffset: isFile ? contentOffset : 0,
    };
    const entry = extents === undefined ? whole : { ...whole, extents };
    if (entry.contentOffset + storedBytes(entry) > this.#contentsBytes)
      invalidIndex("a file's data ends outside of the contents");
    return entry;
  }

  #kind(): LayerEntryKind {
    return KINDS[this.#number()] ?? invalidIndex("an entry is of no known kind");
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
    if (!Number.isSafeInteger(last)) invalidIndex("a file's data lies beyond 2^53");
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
    if (length > this.#end - start) invalidIndex("a field ends outside of its entry");
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
    return invalidIndex("a number is cut off or too large");
  }
}
