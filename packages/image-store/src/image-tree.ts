import type { FileTree } from "@lamella/layer-format";
import { openLayer } from "@lamella/layer-format/node";
import type { CallOptions, Digest } from "@lamella/refs";
import { openChain } from "@lamella/snapshot";

import type { ContentStore } from "./content-store.js";
import type { Image } from "./image.js";
import { layerDirectory } from "./pull.js";
import { explained } from "./system-error.js";

/** The merged file tree of an image that was pulled. Whoever opened it closes it. @throws {ImageStoreError} `too_many_files`, `io_failed` */
export async function openImageTree(content: ContentStore, image: Image, options: CallOptions = {}): Promise<FileTree> {
  const diffIDs = image.layers.map(({ diffID }) => diffID);
  return explained(`read the tree of ${image.descriptor.digest}`, () => openLayersTree(content, diffIDs, options));
}

/** The merged file tree of layers whose archives are there, base first. Whoever opened it closes it. */
export async function openLayersTree(
  content: ContentStore,
  diffIDs: readonly Digest[],
  options: CallOptions = {},
): Promise<FileTree> {
  return openChain(diffIDs, {
    ...options,
    openLayer: (diffID, call) => openLayer(layerDirectory(content, diffID), call),
  });
}
