import type { CallOptions } from "@lamella/refs";

import { displayPath } from "../display-path.js";
import { LayerFormatError } from "../errors.js";
import type { Layer } from "../layer.js";
import { showLayer } from "./state.js";
import type { Leaf } from "./inode.js";

const ZERO_CHUNK_BYTES = 256 * 1024;

/** A part of a file: a run of its layer's contents, or a hole. */
interface Run {
  readonly contentOffset: number | undefined;
  readonly length: number;
}

export interface LeafRead extends CallOptions {
  readonly leaf: Leaf;
  /** For messages. */
  readonly path: string;
  /** A range within the file. */
  readonly offset: number;
  readonly length: number;
}

/**
 * Bytes of a file from the contents of its layer, with zeros for its holes.
 * @throws {LayerFormatError} naming the path and the layer: `archive_invalid` if the contents end too early, else with the layer's own code.
 */
export async function* readLeaf(layers: readonly Layer[], read: LeafRead): AsyncGenerator<Uint8Array> {
  const { leaf, path, signal } = read;
  const layer = layers[leaf.layer] as Layer;
  signal?.throwIfAborted();
  try {
    for (const { contentOffset, length } of runsOf(read)) {
      if (contentOffset === undefined) {
        for (const chunk of zeros(length)) {
          signal?.throwIfAborted();
          yield chunk;
        }
        continue;
      }
      let rest = length;
      for await (const chunk of layer.readContents(contentOffset, length, { signal })) {
        signal?.throwIfAborted();
        rest -= chunk.length;
        if (rest < 0) break;
        yield chunk;
      }
      if (rest !== 0)
        throw new LayerFormatError(
          "archive_invalid",
          `the layer gave ${rest < 0 ? "more" : "fewer"} than ${length} bytes`,
        );
    }
  } catch (error) {
    if (!(error instanceof LayerFormatError)) throw error;
    const what = `cannot read "${displayPath(path)}" of ${showLayer(layers, leaf.layer)}`;
    throw new LayerFormatError(error.code, `${what}: ${error.message}`, { cause: error });
  }
}

function* runsOf({ leaf, offset, length }: LeafRead): Generator<Run> {
  const { extents, contentOffset } = leaf.source;
  if (extents === undefined) {
    if (length > 0) yield { contentOffset: contentOffset + offset, length };
    return;
  }
  leaf.dataStarts ??= dataStarts(leaf);
  const end = offset + length;
  let position = offset;
  for (let index = firstExtent(leaf, offset); index < extents.length && position < end; index++) {
    const extent = extents[index] ?? { offset: end, length: 0 };
    if (extent.offset >= end) break;
    if (extent.offset > position) yield { contentOffset: undefined, length: extent.offset - position };
    position = Math.max(position, extent.offset);
    const run = Math.min(extent.offset + extent.length, end) - position;
    if (run > 0) yield { contentOffset: (leaf.dataStarts[index] ?? 0) + position - extent.offset, length: run };
    position += run;
  }
  if (position < end) yield { contentOffset: undefined, length: end - position };
}

/** Where each extent's data begins in the layer's contents. */
function dataStarts(leaf: Leaf): Float64Array {
  const { extents = [], contentOffset } = leaf.source;
  const starts = new Float64Array(extents.length);
  let start = contentOffset;
  for (const [index, extent] of extents.entries()) {
    starts[index] = start;
    start += extent.length;
  }
  return starts;
}

/** The first extent that ends after `offset`. */
function firstExtent(leaf: Leaf, offset: number): number {
  const { extents = [] } = leaf.source;
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const extent = extents[middle];
    if (extent !== undefined && extent.offset + extent.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function* zeros(length: number): Generator<Uint8Array> {
  const chunk = new Uint8Array(Math.min(length, ZERO_CHUNK_BYTES));
  for (let rest = length; rest > 0; rest -= chunk.length) yield rest < chunk.length ? chunk.subarray(0, rest) : chunk;
}
