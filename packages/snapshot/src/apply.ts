import type { CallOptions, Descriptor, Digest } from "@lamella/refs";

import type { Labels } from "./snapshotter.js";

/** A layer as an image names it; `pairLayers` of @lamella/refs makes them of a manifest and a config. */
export interface DescribedLayer {
  readonly descriptor: Descriptor;
  readonly diffID: Digest;
}

/** Where layers come from. */
export interface Applier {
  /** The layer's uncompressed tar. It is untrusted until the iteration has ended; it need not be checked against the diffID. */
  open(descriptor: Descriptor, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** The directory of an archive of the layer, as `writeLayer` makes it, where there is one already: then the tar is not opened. */
  archive?(diffID: Digest, options?: CallOptions): Promise<string | undefined>;
}

export interface ApplyLayerOptions extends CallOptions {
  /** Of the committed snapshots that are made. */
  labels?: Labels | undefined;
}

export interface ApplyLayersOptions extends ApplyLayerOptions {
  /** How many layers are fetched, inflated and indexed at once; 3 by default. */
  concurrency?: number | undefined;
  /** Where layers wait for their turn; that of the system by default. What a killed process has left there is removed by the next one. */
  temporaryDirectory?: string | undefined;
}
