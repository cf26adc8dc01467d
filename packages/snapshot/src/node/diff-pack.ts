import type { FileTree, TarInput } from "@lamella/layer-format";
import { packLayer } from "@lamella/layer-format/node";
import type { CompressOptions, LayerOutput, PackedLayer } from "@lamella/layer-format/node";

import { diffTrees } from "../diff/diff-trees.js";
import type { DiffOptions } from "../diff/diff-trees.js";

/** How much of a layer there is already. */
export interface DiffProgress {
  readonly entries: number;
  /** Of the blob. */
  readonly bytes: number;
}

export interface PackDiffOptions extends Omit<DiffOptions, "onSocket">, CompressOptions {
  /** Is told after each piece of the output, and at the end. */
  onProgress?: ((progress: DiffProgress) => void) | undefined;
}

/** A layer that was written; as a descriptor it can stand in a manifest, with its diffID in the config. */
export interface PackedDiff extends PackedLayer {
  /** 0 for trees that are the same. */
  readonly entryCount: number;
  /** How many sockets are new in the upper tree. */
  readonly omittedSockets: number;
}

/**
 * Writes the layer that makes `upper` of `lower` ({@link diffTrees}), in one pass at the output's pace. The same trees make the same tar, and with one
 * version of Node the same blob.
 *
 * @throws {SnapshotError} `unsupported`
 * @throws {LayerFormatError} `layer_invalid` for what no tar can hold (a device number over 262,143); `compression_unavailable`
 * @throws {RangeError} for a level that the compression does not have. Errors of the trees and of the output pass as they are.
 */
export async function packDiff(
  lower: FileTree,
  upper: FileTree,
  output: LayerOutput,
  options: PackDiffOptions = {},
): Promise<PackedDiff> {
  const { onProgress, compression, level, signal, ...diff } = options;
  signal?.throwIfAborted();
  let omittedSockets = 0;
  let entries = 0;
  let bytes = 0;
  const changes = diffTrees(lower, upper, { ...diff, signal, onSocket: () => omittedSockets++ });
  const write = async (chunk: Uint8Array): Promise<void> => {
    await output.write(chunk);
    bytes += chunk.length;
    onProgress?.({ entries, bytes });
  };
  const packed = await packLayer(counted(), { write }, { compression, level, signal });
  onProgress?.({ entries, bytes });
  return { ...packed, entryCount: entries, omittedSockets };

  async function* counted(): AsyncGenerator<TarInput> {
    for await (const entry of changes) {
      entries++;
      yield entry;
    }
  }
}
