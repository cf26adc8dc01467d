import { FuseError } from "../errors.js";

const FIRST_BYTES = 1 << 16;
/** Offsets have 32 bits, and a buffer has a limit too. */
const MAX_BYTES = 2 ** 31;

/** Bytes one after the other, at places of 32 bits. What lies at 0 is never given out, so that 0 can stand for nothing. */
export interface ByteHeap {
  /** Lays a byte string down. */
  addText(text: string): number;
  addBytes(bytes: Uint8Array): number;
  addNumber(value: number): number;
  /** All of it, in memory that threads can share. */
  share(): Uint8Array;
}

/** @throws {FuseError} `unsupported` where it would grow beyond 2 GiB */
export function createByteHeap(): ByteHeap {
  let bytes = Buffer.alloc(FIRST_BYTES);
  let length = 4;

  function reserve(count: number): number {
    const at = length;
    length += count;
    if (length > MAX_BYTES)
      throw new FuseError("unsupported", `cannot mount the tree: its names and xattrs take over ${MAX_BYTES} bytes`);
    if (length > bytes.length) {
      const grown = Buffer.alloc(Math.min(MAX_BYTES, Math.max(length, 2 * bytes.length)));
      bytes.copy(grown);
      bytes = grown;
    }
    return at;
  }

  return {
    addText(text) {
      const at = reserve(text.length);
      bytes.write(text, at, "latin1");
      return at;
    },
    addBytes(added) {
      const at = reserve(added.length);
      bytes.set(added, at);
      return at;
    },
    addNumber(value) {
      const at = reserve(4);
      bytes.writeUInt32LE(value, at);
      return at;
    },
    share() {
      const shared = new Uint8Array(new SharedArrayBuffer(length));
      shared.set(bytes.subarray(0, length));
      return shared;
    },
  };
}
