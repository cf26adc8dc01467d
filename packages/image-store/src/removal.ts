import type { Transaction } from "@lamella/database";
import { quote } from "@lamella/refs";
import type { Digest } from "@lamella/refs";

import { findRoot } from "./database/roots.js";
import type { StoreSchema } from "./database/schema.js";
import { removeTags } from "./database/tags.js";
import { ImageStoreError } from "./errors.js";

/** What was removed. The bytes that nothing else needs go with the next garbage collection. */
export interface Removed {
  readonly names: readonly string[];
  /** The manifests of the images to which no name leads any more. */
  readonly images: readonly Digest[];
}

export interface RemoveOptions {
  /** Removes an image that is named by digest with all its names, however many there are. */
  force?: boolean | undefined;
}

/**
 * Removes a name, and the images that only it led to; by digest, the image with its name.
 * @throws {ImageStoreError} `not_found`, `ambiguous`; `in_use` for a digest with several names
 */
export async function removeImage(
  queries: Transaction<StoreSchema>,
  text: string,
  { force = false }: RemoveOptions,
): Promise<Removed> {
  const root = await findRoot(queries, text);
  const images = await imagesOf(queries, root.digest);
  const names = root.name === undefined ? await namesLeadingTo(queries, root.digest, images) : [root.name];
  if (names.length > 1 && !force) {
    const state = `it has the names ${names.map(quote).join(", ")}`;
    throw new ImageStoreError("in_use", `cannot remove ${root.digest}: ${state}`);
  }
  await removeTags(queries, names);
  const removed: Digest[] = [];
  for (const digest of images) {
    if ((await namesLeadingTo(queries, digest, [digest])).length > 0) continue;
    await queries.deleteFrom("images").where("manifest_digest", "=", digest).execute();
    removed.push(digest);
  }
  return { names, images: removed };
}

async function imagesOf(queries: Transaction<StoreSchema>, root: Digest): Promise<Digest[]> {
  const rows = await queries
    .selectFrom("image_roots")
    .select("manifest_digest")
    .where("root_digest", "=", root)
    .execute();
  return rows.map(({ manifest_digest }) => manifest_digest);
}

/** The names of a root itself, whatever it is, and of all that lead to one of the images. */
async function namesLeadingTo(
  queries: Transaction<StoreSchema>,
  root: Digest,
  images: readonly Digest[],
): Promise<string[]> {
  const own = await queries.selectFrom("tags").select("name").where("root_digest", "=", root).execute();
  const names = new Set(own.map(({ name }) => name));
  for (const image of images) {
    const rows = await queries
      .selectFrom("image_roots")
      .innerJoin("tags", "tags.root_digest", "image_roots.root_digest")
      .select("tags.name")
      .where("image_roots.manifest_digest", "=", image)
      .execute();
    for (const { name } of rows) names.add(name);
  }
  return [...names].toSorted();
}
