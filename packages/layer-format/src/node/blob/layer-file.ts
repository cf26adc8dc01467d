import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

import { type BlobRange, type CallOptions, quote, type RangeFetcher } from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import { AppendFile } from "../append-file.js";
import type { LayerOutput } from "./layer-pack.js";

const CHUNK_BYTES = 1 << 20;

/** A layer's blob in a file, for one descriptor: the one that is passed to `fetchRange` is not looked at. */
export interface LayerFile extends RangeFetcher, AsyncDisposable {
  readonly size: number;
  /** All bytes, in chunks that stay valid. */
  chunks(options?: CallOptions): AsyncIterable<Uint8Array>;
}

/**
 * Opens a layer's blob to read; nothing is known of its bytes.
 * @throws {LayerFormatError} `layer_invalid` for what is no regular file, and from reading if the file ends early. Errors of the file
 * system pass as they are.
 */
export async function openLayerFile(path: string, options: CallOptions = {}): Promise<LayerFile> {
  options.signal?.throwIfAborted();
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const status = await handle.stat();
    if (!status.isFile())
      throw new LayerFormatError("layer_invalid", `cannot read layer ${quote(path)}: not a regular file`);
    const { size } = status;
    const read = (range: BlobRange, call: CallOptions): AsyncGenerator<Uint8Array> =>
      readRange(handle, { ...range, path, ...call });
    return {
      size,
      chunks: (call = {}) => read({ offset: 0, length: size }, call),
      fetchRange: (_descriptor, range, call = {}) => read(range, call),
      [Symbol.asyncDispose]: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

interface FileRange extends BlobRange, CallOptions {
  readonly path: string;
}

async function* readRange(handle: FileHandle, { path, offset, length, signal }: FileRange): AsyncGenerator<Uint8Array> {
  const end = offset + length;
  for (let position = offset; position < end;) {
    signal?.throwIfAborted();
    const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - position));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0)
      throw new LayerFormatError("layer_invalid", `cannot read layer ${quote(path)}: it ends at byte ${position}`);
    position += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}

/** A file that appears whole, flushed to disk, with `commit`; closed without it, nothing has changed. */
export interface LayerOutputFile extends LayerOutput, AsyncDisposable {
  commit(): Promise<void>;
}

/**
 * Begins a file, beside its place; one that is there already is replaced in the end.
 * @throws {LayerFormatError} `output_invalid` if something else than a regular file is there. Errors of the file system pass as they are.
 */
export async function createLayerFile(path: string): Promise<LayerOutputFile> {
  await assertReplaceable(path);
  const temporary = `${path}.tmp-${randomUUID()}`;
  const file = await AppendFile.create(temporary);
  let isCommitted = false;
  return {
    async write(bytes) {
      file.append(bytes);
      await file.drain();
    },
    async commit() {
      await file.finish();
      await rename(temporary, path);
      isCommitted = true;
      await syncDirectory(dirname(path));
    },
    async [Symbol.asyncDispose]() {
      await file[Symbol.asyncDispose]();
      if (!isCommitted) await rm(temporary, { force: true });
    },
  };
}

/** Renamed over, a device or a pipe would be gone. */
async function assertReplaceable(path: string): Promise<void> {
  try {
    if ((await stat(path)).isFile()) return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  throw new LayerFormatError("output_invalid", `cannot write ${quote(path)}: not a regular file`);
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
