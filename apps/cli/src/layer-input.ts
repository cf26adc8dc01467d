import { readFile, stat } from "node:fs/promises";

import { openLayerFile } from "@lamella/layer-format/node";
import type { LayerFile } from "@lamella/layer-format/node";
import { LamellaError, quote } from "@lamella/refs";
import type { CallOptions } from "@lamella/refs";

/** What a table of contents may have in the registry too. */
const MAX_TOC_BLOB_BYTES = 50 * 2 ** 20;

/** Opens the blob that a command was given. @throws {LamellaError} `not_found` */
export async function openInput(path: string, options: CallOptions): Promise<LayerFile> {
  return openLayerFile(path, options).catch((error: unknown) => missing(path, error));
}

/** The blob with the table of contents of a layer that has it elsewhere. @throws {LamellaError} `not_found`, `too_large` */
export async function readTocBlob(path: string, { signal }: CallOptions): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > MAX_TOC_BLOB_BYTES)
      throw new LamellaError("too_large", `cannot read ${quote(path)}: over ${MAX_TOC_BLOB_BYTES} bytes`);
    return await readFile(path, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    return missing(path, error);
  }
}

function missing(path: string, error: unknown): never {
  if (error instanceof Error && "code" in error && error.code === "ENOENT")
    throw new LamellaError("not_found", `cannot read ${quote(path)}: no such file`, { cause: error });
  throw error;
}
