import type { FileHandle } from "node:fs/promises";

import type { CallOptions } from "@lamella/refs";

import { ImageStoreError } from "./errors.js";

const CHUNK_BYTES = 1 << 20;

export interface FileRange extends CallOptions {
  readonly start: number;
  readonly end: number;
  /** For messages: "blob sha256:…". */
  readonly what: string;
}

/**
 * A range of an open file, in chunks of their own each: a reader may still be sending one when it asks for the next.
 * @throws {ImageStoreError} `store_invalid` if the file ends before the range does
 */
export async function* fileChunks(handle: FileHandle, range: FileRange): AsyncGenerator<Uint8Array> {
  const { start, end, what, signal } = range;
  for (let position = start; position < end;) {
    signal?.throwIfAborted();
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end - position));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) throw new ImageStoreError("store_invalid", `cannot read ${what}: it shrank`);
    position += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}
