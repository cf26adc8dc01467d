import { type FileTree } from "@lamella/layer-format";

import {
  createLayerResolver,
  type LayerResolver,
  type LayerResolverOptions,
  type LazyLayer,
  openBlobCache,
} from "../src/index.js";
import { bytesOf, memorySource, type MemorySource } from "./memory-source.js";
import type { MadeLayer } from "./toc-layers.js";

/** A layer that is open, where it comes from, and how. */
export interface OpenMadeLayer extends AsyncDisposable {
  readonly source: MemorySource;
  readonly resolver: LayerResolver;
  readonly layer: LazyLayer;
}

export async function openMadeLayer(
  made: MadeLayer,
  directory: string,
  options: Partial<LayerResolverOptions> & { source?: MemorySource } = {},
): Promise<OpenMadeLayer> {
  const { source = memorySource(made.bytes, { annotations: made.annotations }), ...rest } = options;
  const resolver = createLayerResolver({ cache: await openBlobCache(directory), timeoutMs: 5000, ...rest });
  try {
    const layer = await resolver.resolve(source, source.descriptor, {
      diffID: made.diffID,
      externalToc: () => Promise.resolve(made.externalToc),
    });
    return { source, resolver, layer, [Symbol.asyncDispose]: () => resolver.close() };
  } catch (error) {
    await resolver.close();
    throw error;
  }
}

export async function readFileOf(tree: FileTree, path: string, offset = 0, length?: number): Promise<Buffer> {
  const entry = await tree.lookup(path);
  if (entry === undefined) throw new Error(`no ${path}`);
  return bytesOf(tree.read(entry, { offset, ...(length !== undefined && { length }) }));
}
