import type { CallOptions, Digest } from "@lamella/refs";

import type { Applier, ApplyLayerOptions, ApplyLayersOptions, DescribedLayer } from "../apply.js";
import { chainIDs } from "../chain-id.js";
import { SnapshotError } from "../errors.js";
import type { Snapshotter } from "../snapshotter.js";
import { beginArchives } from "./apply-archives.js";
import { type ChainClaim, claimChain } from "./apply-claims.js";
import { extractLayer } from "./layer-extraction.js";
import { hasCode, isThere, removeAbandonedSnapshots } from "./temporary-snapshot.js";

/** Somebody may remove a chain while it is being made: as often as this it is begun anew. */
const CHAIN_TRIES = 3;

/**
 * Makes a layer the committed snapshot of its chain ID, on the layers below; whether it was unpacked, or was there already.
 * Each chain ID is made by one process while others wait for it, and is there whole or not at all.
 *
 * @param chain the diffIDs of the layers below, base first: their snapshot must be there
 * @throws {SnapshotError} `not_found` without that; {@link RefsError} `digest_mismatch`; {@link LayerFormatError}; what the applier throws
 */
export async function applyLayer(
  layer: DescribedLayer,
  chain: readonly Digest[],
  snapshotter: Snapshotter,
  applier: Applier,
  options: ApplyLayerOptions = {},
): Promise<boolean> {
  const { labels, signal } = options;
  const { descriptor, diffID } = layer;
  const [chainID, parent] = chainIDs([...chain, diffID]).toReversed() as [Digest, Digest | undefined];
  if (await isThere(snapshotter, chainID, { signal })) return false;
  const claim = await claimChain(snapshotter, chainID, { signal });
  try {
    if (await isThere(snapshotter, chainID, { signal })) return false;
    const archive = await applier.archive?.(diffID, { signal });
    const tar = archive === undefined ? applier.open(descriptor, { signal }) : nothing();
    return await extractLayer(snapshotter, { chainID, parent, diffID, tar, archive, labels, signal });
  } finally {
    await claim.release();
  }
}

/**
 * Makes the chain of an image's layers, base first, and gives its chain ID, which names the committed snapshot of all of them.
 *
 * What is there is not made again: one look if all of it is. What is missing is fetched and indexed several layers at once, and committed in order.
 * Each chain ID is made by one process while others that need it wait, and any of them may be killed: the next one goes on.
 *
 * @throws {SnapshotError} `invalid_argument` for no layers at all; what {@link applyLayer} throws
 */
export async function applyLayers(
  layers: readonly DescribedLayer[],
  snapshotter: Snapshotter,
  applier: Applier,
  options: ApplyLayersOptions = {},
): Promise<Digest> {
  options.signal?.throwIfAborted();
  const ids = chainIDs(layers.map(({ diffID }) => diffID));
  const top = ids.at(-1);
  if (top === undefined) {
    throw new SnapshotError(
      "invalid_argument",
      "cannot apply layers: there are none, and no chain ID stands for nothing",
    );
  }
  for (let tries = 1; ; tries++) {
    try {
      await applyMissing({ layers, ids }, snapshotter, applier, options);
      return top;
    } catch (error) {
      if (tries === CHAIN_TRIES || !hasCode(error, "not_found")) throw error;
    }
  }
}

interface Chain {
  readonly layers: readonly DescribedLayer[];
  readonly ids: readonly Digest[];
}

async function applyMissing(
  { layers, ids }: Chain,
  snapshotter: Snapshotter,
  applier: Applier,
  options: ApplyLayersOptions,
): Promise<void> {
  const { labels, signal } = options;
  const { first, claims } = await claimMissing(ids, snapshotter, { signal });
  try {
    if (first === ids.length) return;
    await removeAbandonedSnapshots(snapshotter, { signal });
    await using archives = await beginArchives(layers.slice(first), applier, options);
    for (const [index, { diffID }] of layers.slice(first).entries()) {
      const archive = await archives.archive(index);
      const place = first + index;
      const chainID = ids[place] as Digest;
      await extractLayer(snapshotter, {
        chainID,
        parent: ids[place - 1],
        diffID,
        tar: nothing(),
        archive,
        labels,
        signal,
      });
      await claims.shift()?.release();
      await archives.finish(index);
    }
  } finally {
    for (const claim of claims) await claim.release();
  }
}

/** Claims the chain IDs that are not there, from the first one on; those that others make meanwhile are not among them. */
async function claimMissing(
  ids: readonly Digest[],
  snapshotter: Snapshotter,
  call: CallOptions,
): Promise<{ first: number; claims: ChainClaim[] }> {
  let first = ids.length;
  // The highest that is there has all below it.
  while (first > 0 && !(await isThere(snapshotter, ids[first - 1] as Digest, call))) first--;
  const claims: ChainClaim[] = [];
  try {
    for (const [place, chainID] of [...ids.entries()].slice(first)) {
      claims.push(await claimChain(snapshotter, chainID, call));
      if (!(await isThere(snapshotter, chainID, call))) continue;
      first = place + 1;
      for (const claim of claims.splice(0)) await claim.release();
    }
  } catch (error) {
    for (const claim of claims) await claim.release();
    throw error;
  }
  return { first, claims };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
