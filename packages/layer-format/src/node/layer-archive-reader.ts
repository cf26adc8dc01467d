import { open, readFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

import type { CallOptions } from "@lamella/refs";

import { LayerFormatError } from "../errors.js";
import type { Layer } from "../layer.js";
import { ContentsReader } from "./layer-archive-contents.js";
import { decodeIndex, type DecodedIndex } from "./layer-archive-decoder.js";
import { CONTENTS_NAME, INDEX_NAME } from "./layer-archive-layout.js";

/**
 * Opens a layer archive. Its entries are read into memory; data is read when it is asked for.
 *
 * The index is checked against its checksum and the contents by their size: whether their bytes are intact is not known.
 * @throws {LayerFormatError} `archive_invalid` if a part is missing, damaged or of another version.
 */
export async function openLayer(directory: string, options: CallOptions = {}): Promise<Layer> {
  const { diffID, entries, contentsBytes } = await readIndex(directory, options);
  const handle = await openContents(directory, contentsBytes);
  const contents = new ContentsReader(handle, contentsBytes);
  return {
    diffID,
    entries,
    readContents: (offset, length, readOptions) => contents.read(offset, length, readOptions),
    [Symbol.asyncDispose]: () => contents.close(),
  };
}

/** What the archive's index holds, once the contents have been seen to be of the right size. */
export async function inspectArchive(directory: string, options: CallOptions = {}): Promise<DecodedIndex> {
  const index = await readIndex(directory, options);
  const handle = await openContents(directory, index.contentsBytes);
  await handle.close();
  return index;
}

async function readIndex(directory: string, { signal }: CallOptions): Promise<DecodedIndex> {
  signal?.throwIfAborted();
  const file = await readFile(join(directory, INDEX_NAME)).catch((error: unknown) => refuse(directory, error));
  signal?.throwIfAborted();
  try {
    return decodeIndex(file);
  } catch (error) {
    return refuse(directory, error);
  }
}

async function openContents(directory: string, contentsBytes: number): Promise<FileHandle> {
  const handle = await open(join(directory, CONTENTS_NAME)).catch((error: unknown) => refuse(directory, error));
  try {
    const status = await handle.stat();
    if (!status.isFile() || status.size !== contentsBytes) {
      throw new LayerFormatError("archive_invalid", `its contents have ${status.size} bytes, not ${contentsBytes}`);
    }
    return handle;
  } catch (error) {
    await handle.close();
    return refuse(directory, error);
  }
}

function refuse(directory: string, cause: unknown): never {
  const state = cause instanceof Error ? cause.message : String(cause);
  throw new LayerFormatError("archive_invalid", `cannot open layer archive ${directory}: ${state}`, { cause });
}
