import type { Kysely } from "@lamella/database";
import type { Descriptor, Digest } from "@lamella/refs";

import type { StoreSchema } from "./database/schema.js";
import { parseStored } from "./database/stored-json.js";

/** What images take, in bytes of blobs as transported. */
export interface Usage {
  readonly images: readonly ImageUsage[];
  /** Of all images together, each blob once. */
  readonly imageBytes: number;
  /** Of the disks that are kept. */
  readonly diskBytes: number;
}

export interface ImageUsage {
  readonly manifestDigest: Digest;
  readonly sizeBytes: number;
  /** What other images have as well. */
  readonly sharedBytes: number;
  /** What would be free without this image: `sizeBytes` less `sharedBytes`. */
  readonly uniqueBytes: number;
}

/** Adds up what images take together and each on its own. Indexes are not counted. */
export async function readUsage(queries: Kysely<StoreSchema>): Promise<Usage> {
  const images = await queries
    .selectFrom("images")
    .select(["manifest_digest", "config_digest", "config_size_bytes", "descriptor", "size_bytes"])
    .orderBy("manifest_digest")
    .execute();
  const layers = await queries
    .selectFrom("image_layers")
    .select(({ fn }) => [
      "digest",
      fn.count<number>("manifest_digest").distinct().as("images"),
      fn.min("manifest_digest").as("owner"),
      fn.min("size_bytes").as("bytes"),
    ])
    .groupBy("digest")
    .execute();
  const configs = new Map<Digest, { bytes: number; images: number }>();
  for (const { config_digest: digest, config_size_bytes: bytes } of images) {
    configs.set(digest, { bytes, images: (configs.get(digest)?.images ?? 0) + 1 });
  }
  const ownLayerBytes = new Map<Digest, number>();
  for (const { images: count, owner, bytes } of layers) {
    if (count === 1) ownLayerBytes.set(owner, (ownLayerBytes.get(owner) ?? 0) + bytes);
  }
  let manifestBytes = 0;
  const usages = images.map((row): ImageUsage => {
    const { size } = parseStored(row.descriptor) as Descriptor;
    manifestBytes += size;
    const configBytes = configs.get(row.config_digest)?.images === 1 ? row.config_size_bytes : 0;
    const uniqueBytes = size + configBytes + (ownLayerBytes.get(row.manifest_digest) ?? 0);
    const sizeBytes = row.size_bytes;
    return { manifestDigest: row.manifest_digest, sizeBytes, sharedBytes: sizeBytes - uniqueBytes, uniqueBytes };
  });
  const disks = await queries
    .selectFrom("disks")
    .select(({ fn }) => fn.sum<number | null>("size_bytes").as("bytes"))
    .executeTakeFirst();
  const imageBytes = manifestBytes + total([...configs.values(), ...layers]);
  return { images: usages, imageBytes, diskBytes: disks?.bytes ?? 0 };
}

function total(blobs: readonly { readonly bytes: number }[]): number {
  return blobs.reduce((sum, { bytes }) => sum + bytes, 0);
}
