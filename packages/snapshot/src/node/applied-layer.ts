import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";

import type { Layer } from "@lamella/layer-format";
import { openLayer, readLayer, writeLayer } from "@lamella/layer-format/node";
import { type CallOptions, type Digest, RefsError } from "@lamella/refs";

import type { AppliedLayer, ApplyOptions } from "../snapshotter.js";
import { removeDirectory } from "./snapshot-directory.js";

/** A layer on its way into a snapshot is an archive in a directory of this name and a random end. */
export const INCOMING = "incoming-";

export interface ArrivingLayer {
  readonly tar: AsyncIterable<Uint8Array>;
  /** Where the archive of the tar may be for as long as it is used. */
  readonly directory: string;
}

/**
 * Hands a layer to `use` that has been read to its end, checked and found to be what it should be: of an archive, if `options` name one, or else of a tar.
 * @throws {RefsError} `digest_mismatch`; {@link LayerFormatError}
 */
export async function withArrivingLayer(
  { tar, directory }: ArrivingLayer,
  options: ApplyOptions,
  use: (layer: Layer) => Promise<void>,
): Promise<AppliedLayer> {
  const { archive, diffID, signal } = options;
  signal?.throwIfAborted();
  if (archive !== undefined) return useArchive(archive, { diffID, signal }, use);
  const temporary = await mkdtemp(join(directory, INCOMING));
  try {
    const place = join(temporary, "layer");
    await writeLayer(place, tar, { ...(diffID === undefined ? {} : { diffID }), signal });
    return await useArchive(place, { signal }, use);
  } finally {
    await removeDirectory(temporary);
  }
}

async function useArchive(
  archive: string,
  { diffID, signal }: CallOptions & { diffID?: Digest | undefined },
  use: (layer: Layer) => Promise<void>,
): Promise<AppliedLayer> {
  const summary = await summarize(archive, { signal });
  if (diffID !== undefined && summary.diffID !== diffID) {
    throw new RefsError("digest_mismatch", `cannot apply layer ${diffID}: the archive is of ${summary.diffID}`);
  }
  await using layer = await openLayer(archive, { signal });
  await use(layer);
  return summary;
}

async function summarize(archive: string, options: CallOptions): Promise<AppliedLayer> {
  await using opened = await readLayer(archive, options);
  return { diffID: opened.diffID, uncompressedSize: opened.tarBytes };
}
