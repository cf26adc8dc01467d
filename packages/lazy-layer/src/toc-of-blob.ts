import type { LayerToc } from "@lamella/layer-format";
import { readToc, type ReadTocOptions } from "@lamella/layer-format/node";
import type { Descriptor } from "@lamella/refs";

import type { BlobReader } from "./blob-reader.js";
import { isWrong } from "./lazy-chunks.js";
import { rangesOf } from "./reader-ranges.js";

/** As `readToc`; what is wrong in the cache is fetched once more. */
export async function readTocOfBlob(
  reader: BlobReader,
  descriptor: Descriptor,
  options: ReadTocOptions,
): Promise<LayerToc | undefined> {
  const read = (): Promise<LayerToc | undefined> => readToc(rangesOf(reader), descriptor, options);
  try {
    const toc = await read();
    if (toc !== undefined || !isTocPromised(descriptor)) return toc;
  } catch (error) {
    if (!isWrong(error)) throw error;
  }
  // The footer itself may be what is damaged.
  await reader.drop(0, reader.size);
  return read();
}

/** Whether the layer's descriptor speaks of a table of contents. */
export function isTocPromised({ annotations = {} }: Descriptor): boolean {
  return Object.keys(annotations).some((key) => /stargz|zstd-chunked/.test(key));
}
