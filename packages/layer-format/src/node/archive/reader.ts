import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

import type { CallOptions } from "@lamella/refs";

import { LayerFormatError } from "../../errors.js";
import type { Layer, LayerEntry } from "../../layer.js";
import { ContentsReader } from "./contents.js";
import { decodeEntries } from "./decoder.js";
import type { ArchiveSummary } from "./footer.js";
import { CONTENTS_NAME, INDEX_NAME } from "./layout.js";
import { PageReader } from "./pages.js";

/**
 * Opens a layer archive. Its entries are read into memory; data is read when it is asked for.
 *
 * The index is checked against its checksums and the contents by their size: whether their bytes are intact is not known.
 * @throws {LayerFormatError} `archive_invalid` if a part is missing, damaged or of another version.
 */
export async function openLayer(directory: string, options: CallOptions = {}): Promise<Layer> {
  const { index, contents, indexHandle } = await openArchive(directory, options);
  try {
    const { entryCount, contentsBytes, diffID } = index.footer;
    const entries: LayerEntry[] = [];
    const bodies = index.stream(index.places.bodies, index.places.hashes, options);
    for await (const batch of decodeEntries(bodies, { entryCount, contentsBytes })) {
      for (const entry of batch) entries.push(entry);
    }
    await checkPages(index, index.places.hashes, options);
    return {
      diffID,
      entries,
      readContents: (offset, length, readOptions) => contents.read(offset, length, readOptions),
      readContentsNow: (offset, length) => contents.readNow(offset, length),
      [Symbol.asyncDispose]: () => contents.close(),
    };
  } catch (error) {
    await contents.close();
    return refuseArchive(directory, error);
  } finally {
    await indexHandle.close();
  }
}

/**
 * What the archive says of itself, once every page of the index has been checked and the contents have been seen to be of the right size. Its entries
 * are not read.
 * @throws {LayerFormatError} `archive_invalid` as {@link openLayer}
 */
export async function inspectArchive(directory: string, options: CallOptions = {}): Promise<ArchiveSummary> {
  const { index, contents, indexHandle } = await openArchive(directory, options);
  try {
    await checkPages(index, 0, options);
    const { diffID, layerHash, entryCount, contentsBytes, tarBytes } = index.footer;
    return { diffID, layerHash, entryCount, contentsBytes, tarBytes };
  } catch (error) {
    return refuseArchive(directory, error);
  } finally {
    await contents.close();
    await indexHandle.close();
  }
}

/** The two files of an archive, open. Whoever asked for them closes them. */
export interface OpenArchive {
  readonly index: PageReader;
  readonly indexHandle: FileHandle;
  readonly contents: ContentsReader;
}

/** @throws {LayerFormatError} `archive_invalid` */
export async function openArchive(directory: string, options: CallOptions): Promise<OpenArchive> {
  options.signal?.throwIfAborted();
  const handles: FileHandle[] = [];
  const openFile = async (name: string): Promise<FileHandle> => {
    const handle = await open(join(directory, name));
    handles.push(handle);
    return handle;
  };
  try {
    const indexHandle = await openFile(INDEX_NAME);
    const index = await PageReader.open(indexHandle, options);
    const { contentsBytes } = index.footer;
    const contentsHandle = await openFile(CONTENTS_NAME);
    const status = await contentsHandle.stat();
    if (!status.isFile() || status.size !== contentsBytes) {
      throw new LayerFormatError("archive_invalid", `its contents have ${status.size} bytes, not ${contentsBytes}`);
    }
    options.signal?.throwIfAborted();
    return { index, indexHandle, contents: new ContentsReader(contentsHandle, contentsBytes) };
  } catch (error) {
    for (const handle of handles) await handle.close();
    options.signal?.throwIfAborted();
    return refuseArchive(directory, error);
  }
}

/** Gives an error as one of the archive at `directory`; errors other than of files and formats pass as they are. */
export function refuseArchive(directory: string, cause: unknown): never {
  const isOurs = cause instanceof LayerFormatError || (cause instanceof Error && "errno" in cause);
  if (!isOurs) throw cause;
  throw new LayerFormatError("archive_invalid", `cannot open layer archive ${directory}: ${cause.message}`, { cause });
}

async function checkPages(index: PageReader, from: number, options: CallOptions): Promise<void> {
  for await (const piece of index.stream(from, index.places.end, options)) void piece;
}
