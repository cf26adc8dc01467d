import { open, type FileHandle } from "node:fs/promises";

import type { CallOptions } from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import type { Layer, LayerEntry } from "../../layer.js";
import type { LayerLimits } from "../../limits.js";
import { createLayerReader } from "../../tar/layer-reader.js";
import { ContentsReader } from "../archive/contents.js";
import { createByteMeter } from "./byte-meter.js";

const CHUNK_BYTES = 1 << 20;

export interface TarLayerOptions extends CallOptions {
  limits?: Partial<LayerLimits> | undefined;
}

/**
 * A layer whose contents are its tar: `contentOffset` is where a file's data begins in it, a multiple of 512, and `readContents` reads any bytes of
 * it, headers included. So another program may find a file's data in the tar by itself.
 */
export interface TarLayer extends Layer {
  readonly sizeBytes: number;
}

/**
 * Opens an uncompressed tar as a layer. It is read once, strictly; the entries are in memory, data is read from the tar when it is asked for.
 *
 * @throws {LayerFormatError} what `createLayerReader` refuses; `archive_invalid` if the tar is not there or cannot be read.
 */
export async function openTarLayer(path: string, { limits, signal }: TarLayerOptions = {}): Promise<TarLayer> {
  signal?.throwIfAborted();
  const handle = await open(path).catch((cause: unknown) => {
    throw new LayerFormatError("archive_invalid", `cannot open tar ${path}: ${(cause as Error).message}`, { cause });
  });
  try {
    const entries: LayerEntry[] = [];
    const reader = createLayerReader(
      {
        entry: (entry, dataOffset) =>
          entries.push(entry.kind === "file" ? { ...entry, contentOffset: dataOffset } : entry),
        contents: () => undefined,
      },
      { limits },
    );
    const meter = createByteMeter();
    for await (const chunk of meter.measure(chunksOf(handle), { signal })) reader.push(chunk);
    reader.end();
    const { digest, size } = meter.result();
    const contents = new ContentsReader(handle, size);
    return {
      diffID: digest,
      sizeBytes: size,
      entries,
      readContents: (offset, length, options) => contents.read(offset, length, options),
      readContentsNow: (offset, length) => contents.readNow(offset, length),
      [Symbol.asyncDispose]: () => contents.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function* chunksOf(handle: FileHandle): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
