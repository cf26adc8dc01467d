import { mergeLayers } from "@lamella/layer-format";
import type { FileTree, Layer } from "@lamella/layer-format";
import type { CallOptions, Digest } from "@lamella/refs";

import { SnapshotError } from "./errors.js";

export interface OpenChainOptions extends CallOptions {
  /** Opens one layer's archive; what it gives is checked against the diffID and closed with the tree. */
  openLayer(diffID: Digest, options: CallOptions): Promise<Layer>;
}

/**
 * The file tree of a chain of layers, base first. The tree owns the layers: closing it closes them, and a failure on the
 * way closes those that were open already. A layer may occur more than once and is opened for each place.
 * @throws {SnapshotError} `layer_mismatch`; and what `openLayer` and the merge throw.
 */
export async function openChain(diffIDs: readonly Digest[], options: OpenChainOptions): Promise<FileTree> {
  const layers: Layer[] = [];
  try {
    for (const diffID of diffIDs) {
      options.signal?.throwIfAborted();
      const layer = await options.openLayer(diffID, { signal: options.signal });
      layers.push(layer);
      if (layer.diffID !== diffID) {
        throw new SnapshotError("layer_mismatch", `cannot open layer ${diffID}: the archive is of ${layer.diffID}`);
      }
    }
    return await mergeLayers(layers, { signal: options.signal });
  } catch (error) {
    await Promise.allSettled(layers.map((layer) => layer[Symbol.asyncDispose]()));
    throw error;
  }
}
