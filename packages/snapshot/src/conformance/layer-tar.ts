import { type LayerEntry, type TarInput, writeTar } from "@lamella/layer-format";
import { memoryLayer, type MemoryLayerSpec } from "@lamella/layer-format/testing";

/** The tar of a described layer, in one piece. */
export async function layerTar(spec: MemoryLayerSpec): Promise<Uint8Array> {
  const layer = memoryLayer(spec);
  const inputOf = (entry: LayerEntry): TarInput => {
    const bytes = entry.extents?.reduce((sum, { length }) => sum + length, 0) ?? entry.size;
    if (entry.kind !== "file") return entry;
    return { ...entry, contents: (options) => layer.readContents(entry.contentOffset, bytes, options) };
  };
  async function* inputs(): AsyncGenerator<TarInput> {
    for (const entry of layer.entries) yield inputOf(entry);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(inputs())) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A tar as it comes: in pieces of some bytes. */
export async function* inPieces(tar: Uint8Array, bytes = 700): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < tar.length; at += bytes) yield tar.subarray(at, at + bytes);
}
