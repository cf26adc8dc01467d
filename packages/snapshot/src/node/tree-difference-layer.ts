import { createTreeLayer, type FileTree, type Layer, type LayerDraft } from "@lamella/layer-format";
import { type CallOptions, digestOf } from "@lamella/refs";

import { diffTrees } from "../diff/diff-trees.js";

/**
 * What makes `upper` of `lower`, as a layer that reads the files of `upper`: closing it closes that tree, also if this rejects. Both trees are compared as
 * `diffTrees` does, each byte of what may differ.
 * @throws {SnapshotError} `unsupported` for a changed name that no layer can hold
 */
export async function differenceLayer(lower: FileTree, upper: FileTree, { signal }: CallOptions): Promise<Layer> {
  try {
    const entries: LayerDraft["entries"][number][] = [];
    const files = new Map<string, NonNullable<Awaited<ReturnType<FileTree["lookup"]>>>>();
    for await (const { contents, ...entry } of diffTrees(lower, upper, { content: "always", signal })) {
      entries.push(entry);
      const file = contents && (await upper.lookup(entry.path, { signal }));
      if (file !== undefined) files.set(entry.path, file);
    }
    return createTreeLayer(upper, { diffID: digestOf(crypto.getRandomValues(new Uint8Array(32))), entries, files });
  } catch (error) {
    await upper[Symbol.asyncDispose]();
    throw error;
  }
}
