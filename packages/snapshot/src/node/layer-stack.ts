import type { Layer } from "@lamella/layer-format";

/** Opens layers, one after another; if one cannot be opened, those that were are closed. */
export async function openLayers(openers: readonly (() => Promise<Layer>)[]): Promise<Layer[]> {
  const layers: Layer[] = [];
  try {
    for (const open of openers) layers.push(await open());
    return layers;
  } catch (error) {
    for (const layer of layers) await layer[Symbol.asyncDispose]();
    throw error;
  }
}
