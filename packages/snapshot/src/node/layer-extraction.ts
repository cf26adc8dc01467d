import { randomBytes } from "node:crypto";

import type { CallOptions, Digest } from "@lamella/refs";

import type { Labels, Snapshotter } from "../snapshotter.js";
import { hasCode, ownerLabels, removeTemporary } from "./temporary-snapshot.js";

export interface Extraction extends CallOptions {
  readonly chainID: Digest;
  /** The chain ID of what is below, for all but the first layer. */
  readonly parent: Digest | undefined;
  readonly diffID: Digest;
  readonly tar: AsyncIterable<Uint8Array>;
  readonly archive: string | undefined;
  readonly labels: Labels | undefined;
}

const KEY_TRIES = 5;

/**
 * Makes the committed snapshot of a chain ID on that of its parent; whether it did, as somebody else may have been faster. Of a failure nothing is left.
 * @throws {SnapshotError} `not_found` if the parent is not there any more; what `apply` throws
 */
export async function extractLayer(snapshotter: Snapshotter, layer: Extraction): Promise<boolean> {
  const { chainID, diffID, tar, archive, labels, signal } = layer;
  const key = await prepareExtraction(snapshotter, layer);
  try {
    await snapshotter.apply(key, tar, { diffID, archive, signal });
    await snapshotter.commit(chainID, key, { labels, signal });
    return true;
  } catch (error) {
    await removeTemporary(snapshotter, key);
    // Another program may use the directory without claims.
    if (hasCode(error, "already_exists")) return false;
    throw error;
  }
}

/** The key is as containerd has it. */
async function prepareExtraction(snapshotter: Snapshotter, { chainID, parent, signal }: Extraction): Promise<string> {
  const labels = await ownerLabels();
  for (let tries = 1; ; tries++) {
    const time = process.hrtime.bigint() % 1_000_000_000n;
    const key = `extract-${time}-${randomBytes(3).toString("base64url")} ${chainID}`;
    try {
      await snapshotter.prepare(key, parent, { labels, signal });
      return key;
    } catch (error) {
      if (tries === KEY_TRIES || !hasCode(error, "already_exists")) throw error;
    }
  }
}
