import type { CallOptions } from "@lamella/refs";

import { DiskExportError } from "../errors.js";
import { readBytes } from "./source.js";
import type { DiskSource } from "./source.js";

const WINDOW_BYTES = 64 << 10;
const WINDOWS_KEPT = 256;

/** No honest disk's metadata is larger than the disk; this much is left over for a small one. */
const SPARE_BYTES = 1 << 20;
const METADATA_BYTES_MAX = 2 ** 30;

/**
 * What a reader takes of a disk while it makes its index.
 *
 * On a disk that is what it says, each piece of metadata is read once. So what is read is counted, and a disk that makes a reader take
 * more than it holds (by a loop, or by many that share one) is refused: this bounds time and memory both.
 */
export interface DiskMetadata {
  readonly format: string;
  readonly sizeBytes: number;
  /**
   * Bytes that the caller does not change.
   * @param what names them in an error: "inode 12"
   * @throws {DiskExportError} `disk_invalid` outside the disk, or when more was read than a disk of this size can hold
   */
  read(what: string, offset: number, length: number): Promise<Uint8Array>;
  /** Counts bytes that were not read, but take as much room. */
  charge(what: string, length: number): void;
}

export function createDiskMetadata(
  source: DiskSource,
  { format, signal }: CallOptions & { format: string },
): DiskMetadata {
  const { sizeBytes } = source;
  const windows = new Map<number, Uint8Array>();
  let left = Math.min(sizeBytes + SPARE_BYTES, METADATA_BYTES_MAX);

  /** The one that was used longest ago makes room. */
  async function window(index: number): Promise<Uint8Array> {
    let bytes = windows.get(index);
    if (bytes === undefined) {
      const offset = index * WINDOW_BYTES;
      bytes = await readBytes(source, offset, Math.min(WINDOW_BYTES, sizeBytes - offset), { signal });
      if (windows.size >= WINDOWS_KEPT) windows.delete(windows.keys().next().value ?? 0);
    } else {
      windows.delete(index);
    }
    windows.set(index, bytes);
    return bytes;
  }

  function charge(what: string, length: number): void {
    left -= length;
    if (left >= 0) return;
    const limit = Math.min(sizeBytes + SPARE_BYTES, METADATA_BYTES_MAX);
    throw diskInvalid(format, what, `the disk's metadata is more than ${limit} bytes, the limit for its size`);
  }

  return {
    format,
    sizeBytes,
    charge,
    async read(what, offset, length) {
      signal?.throwIfAborted();
      if (!isInside(sizeBytes, offset, length))
        throw diskInvalid(format, what, `it would lie at ${offset}, the disk has ${sizeBytes} bytes`);
      charge(what, length);
      const first = Math.floor(offset / WINDOW_BYTES);
      const start = offset - first * WINDOW_BYTES;
      if (start + length <= WINDOW_BYTES) return (await window(first)).subarray(start, start + length);
      return readBytes(source, offset, length, { signal });
    },
  };
}

export function isInside(sizeBytes: number, offset: number, length: number): boolean {
  return (
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= sizeBytes
  );
}

/** `cannot read <format> <what>: <state>` */
export function diskInvalid(format: string, what: string, state: string): DiskExportError {
  return new DiskExportError("disk_invalid", `cannot read ${format} ${what}: ${state}`);
}

/** As {@link diskInvalid}, of what is in order and not for this reader. */
export function diskUnsupported(format: string, what: string, state: string): DiskExportError {
  return new DiskExportError("unsupported", `cannot read ${format} ${what}: ${state}`);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A number of 64 bits; those that a double cannot hold are larger than anything on a disk, and stay so. */
export function readWide(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}
