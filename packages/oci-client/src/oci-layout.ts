import { join } from "node:path";

import { type CallOptions, type Descriptor, type ImageSource, quote } from "@lamella/refs";

import { type LayoutFiles, openLayout } from "./layout-reader.js";
import { openPlainFile, readPlainFile } from "./plain-file.js";

/** Images in an OCI layout (OCI image-spec, image-layout.md). */
export interface OciLayout extends ImageSource {
  /**
   * By the annotation `org.opencontainers.image.ref.name`, or by digest; `""` is the sole manifest of the layout.
   * @throws {OciClientError} `not_found`, `name_ambiguous`, `layout_invalid`
   */
  resolve(name: string, options?: CallOptions): Promise<Descriptor>;
  /** Streamed and verified. A blob that is a symbolic link or no regular file is refused: `layout_invalid`. */
  fetch(descriptor: Descriptor, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** The names of all tagged manifests, in the order of the index. */
  names(options?: CallOptions): Promise<string[]>;
}

/**
 * Opens an OCI layout in a directory to read from. Nothing is kept open between calls, so there is nothing to close.
 * @throws {OciClientError} `not_found` when the directory is no layout, `layout_invalid` when its version is not ours
 * @throws {RefsError} `document_invalid`, `document_too_large` for its index
 */
export async function openOciLayout(directory: string, options: CallOptions = {}): Promise<OciLayout> {
  return openLayout(directoryFiles(directory), options);
}

function directoryFiles(directory: string): LayoutFiles {
  return {
    title: `OCI layout ${quote(directory)}`,
    readSmall: (path, limitBytes, options) => readPlainFile(join(directory, path), limitBytes, options),
    async *chunks(path) {
      const file = await openPlainFile(join(directory, path));
      try {
        yield* file.chunks();
      } finally {
        await file.close();
      }
    },
  };
}
