import type { RangeFetcher } from "@lamella/refs";

import type { BlobReader, ReadPriority } from "./blob-reader.js";

/** A reader as what other packages read ranges from. */
export function rangesOf(reader: BlobReader, priority: ReadPriority = "demand"): RangeFetcher {
  return {
    fetchRange: (_descriptor, { offset, length }, { signal } = {}) => reader.read(offset, length, { signal, priority }),
  };
}
