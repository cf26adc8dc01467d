import type { FileTree } from "@lamella/layer-format";
import { openLayer } from "@lamella/layer-format/node";
import type { CallOptions } from "@lamella/refs";
import { openChain } from "@lamella/snapshot";

import type { ContentStore } from "./content-store.js";
import type { Image } from "./image.js";
import { layerDirectory } from "./pull.js";

/** The merged file tree of an image that was pulled. Whoever opened it closes it. */
export async function openImageTree(content: ContentStore, image: Image, options: CallOptions = {}): Promise<FileTree> {
  const diffIDs = image.layers.map(({ diffID }) => diffID);
  return openChain(diffIDs, {
    ...options,
    openLayer: (diffID, call) => openLayer(layerDirectory(content, diffID), call),
  });
}
