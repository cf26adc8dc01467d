import type { LayerEntry } from "../../layer.js";
import { KINDS } from "./layout.js";

const MAX_VARINT_BYTES = 8;

/** Encodes entries one at a time into a buffer of its own, which grows to the largest of them. */
export class EntryEncoder {
  #buffer: Buffer = Buffer.allocUnsafe(4096);
  #end = 0;

  /** A body and its length before it; valid until the next call. Equal entries give equal bytes, wherever their data is. */
  encode(entry: LayerEntry): Uint8Array {
    this.#end = MAX_VARINT_BYTES;
    this.#body(entry);
    const bodyEnd = this.#end;
    // The length goes right before the body, so it is written where it then ends.
    this.#end = 0;
    this.#number(bodyEnd - MAX_VARINT_BYTES);
    const start = MAX_VARINT_BYTES - this.#end;
    this.#buffer.copyWithin(start, 0, this.#end);
    return this.#buffer.subarray(start, bodyEnd);
  }

  #body(entry: LayerEntry): void {
    this.#number(KINDS.indexOf(entry.kind));
    this.#text(entry.path);
    this.#number(entry.mode);
    this.#number(entry.uid);
    this.#number(entry.gid);
    this.#number(entry.mtimeSeconds < 0 ? -2 * entry.mtimeSeconds - 1 : 2 * entry.mtimeSeconds);
    this.#number(entry.mtimeNanoseconds);
    if (entry.kind === "file") this.#file(entry);
    if (entry.kind === "symlink" || entry.kind === "hardlink") this.#text(entry.linkTarget);
    if (entry.kind === "char" || entry.kind === "block") {
      this.#number(entry.deviceMajor);
      this.#number(entry.deviceMinor);
    }
    this.#number(entry.xattrs.size);
    if (entry.xattrs.size > 0) this.#xattrs(entry.xattrs);
  }

  #file(entry: LayerEntry): void {
    this.#number(entry.size);
    if (entry.extents === undefined) return this.#number(0);
    this.#number(entry.extents.length + 1);
    let last = 0;
    for (const { offset, length } of entry.extents) {
      this.#number(offset - last);
      this.#number(length);
      last = offset + length;
    }
  }

  #xattrs(xattrs: LayerEntry["xattrs"]): void {
    for (const name of [...xattrs.keys()].toSorted()) {
      const value = xattrs.get(name) ?? new Uint8Array(0);
      this.#text(name);
      this.#number(value.length);
      this.#reserve(value.length);
      this.#buffer.set(value, this.#end);
      this.#end += value.length;
    }
  }

  #text(text: string): void {
    this.#number(text.length);
    this.#reserve(text.length);
    this.#end += this.#buffer.write(text, this.#end, text.length, "latin1");
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`cannot encode ${value}: not from 0 to 2^53 - 1`);
    this.#reserve(MAX_VARINT_BYTES);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#end++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#end++] = rest;
  }

  #reserve(length: number): void {
    if (this.#end + length <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#buffer.length, this.#end + length));
    larger.set(this.#buffer.subarray(0, this.#end));
    this.#buffer = larger;
  }
}
