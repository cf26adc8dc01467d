import type { Insertable, Transaction } from "@lamella/database";
import { formatPlatform } from "@lamella/refs";
import type { Descriptor, Digest, ImageConfig } from "@lamella/refs";

import type { Image } from "../image.js";
import type { StoreSchema } from "./schema.js";

/** What the database keeps of an image's config. */
export type KeptConfig = Omit<ImageConfig, "diffIDs" | "history">;

const ROWS_AT_ONCE = 500;

/** What the rows of an image are, whenever it came. */
export interface ImageRows {
  readonly image: Omit<Insertable<StoreSchema["images"]>, "created_at">;
  /** Base first. */
  readonly layers: readonly Insertable<StoreSchema["image_layers"]>[];
}

export function rowsOfImage({ descriptor, manifest, layers, config: whole }: Image): ImageRows {
  const { diffIDs: _, history: __, ...config } = whole;
  const manifest_digest = descriptor.digest;
  const { mediaType, digest, size } = descriptor;
  return {
    image: {
      manifest_digest,
      descriptor: JSON.stringify({ mediaType, digest, size }),
      platform: formatPlatform(config),
      config_digest: manifest.config.digest,
      config_size_bytes: manifest.config.size,
      config: JSON.stringify(config satisfies KeptConfig),
      size_bytes: totalBytes([descriptor, manifest.config, ...layers.map((layer) => layer.descriptor)]),
    },
    layers: layers.map(({ descriptor: layer, diffID }, position) => ({
      manifest_digest,
      position,
      digest: layer.digest,
      media_type: layer.mediaType,
      size_bytes: layer.size,
      diff_id: diffID,
    })),
  };
}

/** Records an image that is whole in the store, as what its root leads to. Recording it again changes nothing. */
export async function recordImage(queries: Transaction<StoreSchema>, image: Image): Promise<void> {
  const rows = rowsOfImage(image);
  const manifest_digest = image.descriptor.digest;
  await queries
    .insertInto("images")
    .values({ ...rows.image, created_at: Date.now() })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  for (const root_digest of new Set([image.root.digest, manifest_digest])) {
    await queries
      .insertInto("image_roots")
      .values({ root_digest, manifest_digest })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  for (let at = 0; at < rows.layers.length; at += ROWS_AT_ONCE) {
    await queries
      .insertInto("image_layers")
      .values(rows.layers.slice(at, at + ROWS_AT_ONCE))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

function totalBytes(blobs: readonly Descriptor[]): number {
  const sizes = new Map<Digest, number>(blobs.map(({ digest, size }) => [digest, size]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
