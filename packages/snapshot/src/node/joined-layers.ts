import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";

import { type Layer, mergeLayers, writeTar } from "@lamella/layer-format";
import { openLayer, writeLayer } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";

import { diffTrees } from "../diff/diff-trees.js";
import { INCOMING } from "./applied-layer.js";
import { removeDirectory } from "./snapshot-directory.js";

export interface LayersToJoin {
  /** What lies below both. */
  readonly below: readonly Layer[];
  readonly own: Layer;
  /** On top of `own`. */
  readonly layer: Layer;
  /** Where an archive of both may be for as long as it is used. */
  readonly directory: string;
}

/**
 * Hands two layers to `use` as one that does the same. All of them stay the caller's.
 * @throws {SnapshotError} `unsupported` for a name in `own` that no layer can hold
 */
export async function joinLayers(
  { below, own, layer, directory }: LayersToJoin,
  { signal }: CallOptions,
  use: (joined: Layer) => Promise<void>,
): Promise<void> {
  await using lower = await mergeLayers(below.map(borrowed), { signal });
  await using upper = await mergeLayers([...below, own, layer].map(borrowed), { signal });
  const temporary = await mkdtemp(join(directory, INCOMING));
  try {
    const archive = join(temporary, "joined");
    await writeLayer(archive, writeTar(diffTrees(lower, upper, { content: "always", signal }), { signal }), { signal });
    await using joined = await openLayer(archive, { signal });
    await use(joined);
  } finally {
    await removeDirectory(temporary);
  }
}

function borrowed(layer: Layer): Layer {
  const { diffID, entries } = layer;
  return {
    diffID,
    entries,
    readContents: (offset, length, options) => layer.readContents(offset, length, options),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
