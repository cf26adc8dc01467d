import { RefsError } from "@lamella/refs";
import type { CallOptions, Descriptor, Digest } from "@lamella/refs";

import type { CheckedStore, Fault } from "./check-fault.js";
import { listTags, removeTags } from "./database/tags.js";
import type { Tag } from "./database/tags.js";
import { ImageStoreError } from "./errors.js";
import { readPresent } from "./present.js";

/** Looks what names lead to. */
export async function* checkNames(store: CheckedStore, options: CallOptions): AsyncGenerator<Fault> {
  const { database } = store;
  const tags = await database.read((queries) => listTags(queries, {}), options);
  for (const tag of tags) {
    if ((await faultOf(store, tag, options)) === undefined) continue;
    const fault = await database.write(() => faultOf({ ...store, known: store.content }, tag, options), options);
    if (fault !== undefined) yield fault;
  }
}

async function faultOf(store: CheckedStore, tag: Tag, options: CallOptions): Promise<Fault | undefined> {
  const { name, descriptor } = tag;
  // removed or moved since it was listed
  if (!(await standsFor(store, tag, options))) return undefined;
  const broken = (problem: string): Fault => ({
    kind: "name_broken",
    subject: name,
    problem,
    repair: () => dropName(store, tag, options),
  });
  try {
    if ((await store.known.stat(descriptor.digest, options)) !== descriptor.size) {
      return broken(`it stands for ${descriptor.digest}, which is not there`);
    }
    const missing = await unrecorded(store, descriptor, options);
    if (missing.length === 0) return undefined;
    return {
      kind: "image_unrecorded",
      subject: name,
      problem: `${missing.join(", ")} is whole, and not recorded`,
      repair: () => recordPresent(store, descriptor, options),
    };
  } catch (error) {
    if (error instanceof RefsError || error instanceof ImageStoreError) return broken(error.message);
    throw error;
  }
}

async function standsFor(
  { database }: CheckedStore,
  { name, descriptor }: Tag,
  options: CallOptions,
): Promise<boolean> {
  const found = await database.read(
    (queries) => queries.selectFrom("tags").select("root_digest").where("name", "=", name).executeTakeFirst(),
    options,
  );
  return found?.root_digest === descriptor.digest;
}

async function dropName(store: CheckedStore, tag: Tag, options: CallOptions): Promise<string> {
  return store.database.write(async (queries) => {
    const fault = await faultOf({ ...store, known: store.content }, tag, options);
    if (fault?.kind !== "name_broken") return "left, as it stands for something by now";
    await removeTags(queries, [tag.name]);
    return "removed; pull it to have it again";
  }, options);
}

/** Images that are whole, by their manifests, to which no row leads from the root. */
async function unrecorded(
  { known, database }: CheckedStore,
  root: Descriptor,
  options: CallOptions,
): Promise<Digest[]> {
  const { images } = await readPresent(known, root, options);
  const rows = await database.read(
    (queries) =>
      queries.selectFrom("image_roots").select("manifest_digest").where("root_digest", "=", root.digest).execute(),
    options,
  );
  const recorded = new Set(rows.map(({ manifest_digest }) => manifest_digest));
  return images.map(({ descriptor }) => descriptor.digest).filter((digest) => !recorded.has(digest));
}

async function recordPresent(store: CheckedStore, root: Descriptor, options: CallOptions): Promise<string> {
  const { blobs } = await readPresent(store.content, root, options);
  const items = [...blobs].map((ref) => ({ kind: "blob", ref }) as const);
  await store.lease(
    `check ${root.digest}`,
    items,
    async () => {
      const { images } = await readPresent(store.content, root, options);
      for (const image of images) await store.record(image, options);
    },
    options,
  );
  return "recorded";
}
