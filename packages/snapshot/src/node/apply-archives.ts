import { tmpdir } from "node:os";
import { join } from "node:path";

import { writeLayer } from "@lamella/layer-format/node";
import PQueue from "p-queue";

import type { Applier, ApplyLayersOptions, DescribedLayer } from "../apply.js";
import { removeDirectory } from "./snapshot-directory.js";
import { makeTemporaryDirectory } from "./temporary-directory.js";

const DEFAULT_CONCURRENCY = 3;

/** Layers that are read some at a time, whatever the order in which they are wanted. */
export interface ArrivingArchives extends AsyncDisposable {
  /** The archive of the layer at a place of the list, when it is whole. */
  archive(index: number): Promise<string>;
  /** Says that the archive is not needed any more. */
  finish(index: number): Promise<void>;
}

/**
 * Begins to make archives of layers: fetched, inflated, checked against their diffIDs and indexed, all in one pass each. The first failure stops all
 * of them, and is what each waits for then. Closing waits until nothing is under way, and removes what was made.
 */
export async function beginArchives(
  layers: readonly DescribedLayer[],
  applier: Applier,
  options: ApplyLayersOptions,
): Promise<ArrivingArchives> {
  const { concurrency = DEFAULT_CONCURRENCY, temporaryDirectory = tmpdir(), signal: outer } = options;
  const temporary = await makeTemporaryDirectory(temporaryDirectory);
  const stop = new AbortController();
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  const queue = new PQueue({ concurrency });
  const place = (index: number): string => join(temporary, String(index));
  const bring = async ({ descriptor, diffID }: DescribedLayer, index: number): Promise<string> => {
    signal.throwIfAborted();
    try {
      const there = await applier.archive?.(diffID, { signal });
      if (there !== undefined) return there;
      await writeLayer(place(index), applier.open(descriptor, { signal }), { diffID, signal });
      return place(index);
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  const arriving = layers.map((layer, index) => queue.add(() => bring(layer, index), { throwOnTimeout: true }));
  // Each is waited for in its turn, when it may have failed long ago.
  for (const archive of arriving) archive.catch(() => undefined);
  return {
    archive: async (index) => arriving[index] as Promise<string>,
    finish: (index) => removeDirectory(place(index)),
    async [Symbol.asyncDispose]() {
      stop.abort(new Error("the layers are not needed any more"));
      await queue.onIdle();
      await removeDirectory(temporary);
    },
  };
}
