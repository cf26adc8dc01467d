import type { CallOptions, Digest } from "@lamella/refs";

import type { Snapshotter } from "../snapshotter.js";

export interface ChainClaim {
  /** Lets others go on. */
  release(): Promise<void>;
}

/**
 * Claims a chain ID, so that one process makes it while all others wait.
 *
 * Whoever claims several does it from the base upwards. A chain ID stands for all below it, so that everybody meets the same ones in the same order, and
 * nobody waits for somebody who waits for him.
 */
export async function claimChain(
  snapshotter: Snapshotter,
  chainID: Digest,
  { signal }: CallOptions,
): Promise<ChainClaim> {
  let finish!: () => void;
  const work = new Promise<void>((resolve) => (finish = resolve));
  let ended: Promise<void> = work;
  await new Promise<void>((claimed, failed) => {
    const hold = (): Promise<void> => {
      claimed();
      return work;
    };
    ended = snapshotter.exclusively(`unpack ${chainID}`, hold, { signal });
    ended.catch(failed);
  });
  return {
    async release() {
      finish();
      await ended;
    },
  };
}
