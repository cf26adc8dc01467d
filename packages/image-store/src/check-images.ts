import type { Kysely, Transaction } from "@lamella/database";
import type { CallOptions, Descriptor, Digest } from "@lamella/refs";

import type { CheckedStore, Fault } from "./check-fault.js";
import type { ContentStore } from "./content-store.js";
import { recordImage, rowsOfImage } from "./database/images.js";
import type { ImageRows } from "./database/images.js";
import type { StoreSchema } from "./database/schema.js";
import { parseStored } from "./database/stored-json.js";
import { ImageStoreError } from "./errors.js";
import type { Image } from "./image.js";
import { readPresent } from "./present.js";

/** Compares what is recorded of images with their documents and blobs. */
export async function* checkImages(store: CheckedStore, options: CallOptions): AsyncGenerator<Fault> {
  const { known, content, database } = store;
  const listed = await database.read((queries) => queries.selectFrom("images").select("descriptor").execute(), options);
  for (const row of listed) {
    const descriptor = parseStored(row.descriptor) as Descriptor;
    if ((await faultOf(store, { descriptor, content: known }, options)) === undefined) continue;
    const fault = await database.write(() => faultOf(store, { descriptor, content }, options), options);
    if (fault !== undefined) yield fault;
  }
}

interface Look {
  readonly descriptor: Descriptor;
  readonly content: ContentStore;
}

async function faultOf(
  store: CheckedStore,
  { descriptor, content }: Look,
  options: CallOptions,
): Promise<Fault | undefined> {
  const { digest } = descriptor;
  const image = await readWhole(content, descriptor, options);
  const recorded = await store.database.read((queries) => readRows(queries, digest), options);
  // removed since it was listed
  if (recorded === undefined) return undefined;
  if (image === undefined) {
    return {
      kind: "image_incomplete",
      subject: digest,
      problem: "not all of its blobs are there",
      repair: () => dropIncomplete(store, descriptor, options),
    };
  }
  if (JSON.stringify(recorded) === JSON.stringify(rowsOfImage(image))) return undefined;
  return {
    kind: "image_wrong",
    subject: digest,
    problem: "its rows are not what its documents say",
    repair: () => store.database.write((queries) => recordAnew(queries, image), options),
  };
}

/** The image of a manifest, if all of it is there. */
async function readWhole(
  content: ContentStore,
  descriptor: Descriptor,
  options: CallOptions,
): Promise<Image | undefined> {
  try {
    return (await readPresent(content, descriptor, options)).images[0];
  } catch (error) {
    // a blob that is no file
    if (error instanceof ImageStoreError && error.code === "store_invalid") return undefined;
    throw error;
  }
}

async function readRows(queries: Kysely<StoreSchema>, digest: Digest): Promise<ImageRows | undefined> {
  const found = await queries
    .selectFrom("images")
    .select(["manifest_digest", "descriptor", "platform", "config_digest", "config_size_bytes", "config", "size_bytes"])
    .where("manifest_digest", "=", digest)
    .executeTakeFirst();
  if (found === undefined) return undefined;
  const layers = await queries
    .selectFrom("image_layers")
    .select(["manifest_digest", "position", "digest", "media_type", "size_bytes", "diff_id"])
    .where("manifest_digest", "=", digest)
    .orderBy("position")
    .execute();
  return { image: found, layers };
}

async function dropIncomplete(
  { content, database }: CheckedStore,
  descriptor: Descriptor,
  options: CallOptions,
): Promise<string> {
  return database.write(async (queries) => {
    // whoever has brought it meanwhile records it next, and finds it recorded
    if ((await readWhole(content, descriptor, options)) !== undefined) return "left, as it is whole by now";
    await queries.deleteFrom("images").where("manifest_digest", "=", descriptor.digest).execute();
    return "forgotten; the next pull brings what is missing";
  }, options);
}

/** Roots and disks are of the image and stay with it. */
async function recordAnew(queries: Transaction<StoreSchema>, image: Image): Promise<string> {
  const { digest } = image.descriptor;
  const { image: row } = rowsOfImage(image);
  await queries.deleteFrom("image_layers").where("manifest_digest", "=", digest).execute();
  const { numUpdatedRows } = await queries
    .updateTable("images")
    .set(row)
    .where("manifest_digest", "=", digest)
    .executeTakeFirst();
  if (numUpdatedRows > 0n) await recordImage(queries, image);
  return "recorded anew";
}
