import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openDisk } from "@lamella/disk-export";
import { type FileTree, mergeLayers } from "@lamella/layer-format";
import { decompress, openDirectoryTree, openLayer, openLayerFile, writeLayer } from "@lamella/layer-format/node";
import type { DirectoryTreeOptions } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";

import { isErrno } from "./durable.js";
import { ImageStoreError } from "./errors.js";

const OPENERS: Readonly<Record<string, (path: string, options: DirectoryTreeOptions) => Promise<FileTree>>> = {
  "dir:": openDirectoryTree,
  "disk:": openDisk,
  "layer:": openLayerTree,
};

/**
 * Opens a file tree that is no image: `dir:DIR`, a directory of this machine; `layer:FILE`, one layer's blob of any compression
 * without those below it; or `disk:FILE`, an ext4 or EROFS disk. Whoever opened it closes it. Undefined for a text that names an image.
 *
 * A directory's extended attributes are read where `xattrs` asks for them. The files of a layer are spooled where temporary files go (`TMPDIR`), nameless: nothing is left of them, whatever happens.
 *
 * @throws {ImageStoreError} `not_found`, `source_invalid` for a text without a path and for a file where a directory is asked for; what
 * opening throws.
 */
export async function openNamedTree(text: string, options: DirectoryTreeOptions = {}): Promise<FileTree | undefined> {
  options.signal?.throwIfAborted();
  const scheme = Object.keys(OPENERS).find((prefix) => text.startsWith(prefix));
  const open = OPENERS[scheme ?? ""];
  if (scheme === undefined || open === undefined) return undefined;
  const path = text.slice(scheme.length);
  if (path === "") throw new ImageStoreError("source_invalid", `cannot open ${text}: it names no file`);
  try {
    return await open(path, options);
  } catch (error) {
    if (isErrno(error, "ENOENT"))
      throw new ImageStoreError("not_found", `cannot open ${text}: not there`, { cause: error });
    if (isErrno(error, "ENOTDIR"))
      throw new ImageStoreError("source_invalid", `cannot open ${text}: not a directory`, { cause: error });
    throw error;
  }
}

async function openLayerTree(path: string, options: CallOptions): Promise<FileTree> {
  await using file = await openLayerFile(path, options);
  const spool = await mkdtemp(join(tmpdir(), "lamella-layer-"));
  try {
    const directory = join(spool, "layer");
    await writeLayer(directory, decompress(file.chunks(options), options), options);
    const layer = await openLayer(directory, options);
    try {
      return await mergeLayers([layer], options);
    } catch (error) {
      await layer[Symbol.asyncDispose]();
      throw error;
    }
  } finally {
    // What the layer needs of it stays open.
    await rm(spool, { recursive: true, force: true });
  }
}
