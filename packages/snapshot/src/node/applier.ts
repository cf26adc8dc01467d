import { decompress, type DecompressLimits } from "@lamella/layer-format/node";
import type { Fetcher } from "@lamella/refs";

import type { Applier } from "../apply.js";

export interface CreateApplierOptions {
  /** What inflating an untrusted layer may cost. */
  limits?: Partial<DecompressLimits> | undefined;
}

/** Gives the layers of a registry, a layout or a store, inflated. Digest and size of each blob are checked by the fetcher, as its contract has it. */
export function createApplier(fetcher: Fetcher, { limits }: CreateApplierOptions = {}): Applier {
  return {
    open: (descriptor, { signal } = {}) =>
      decompress(fetcher.fetch(descriptor, { signal }), { mediaType: descriptor.mediaType, limits, signal }),
  };
}
