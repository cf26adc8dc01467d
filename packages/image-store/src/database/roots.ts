import type { Kysely } from "@lamella/database";
import { formatReference, isDigest, parseReference, quote, RefsError, withDefaultTag } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";

import { ImageStoreError } from "../errors.js";
import type { StoreSchema } from "./schema.js";
import { parseStored } from "./stored-json.js";

/** What a text stands for in the store. */
export interface FoundRoot {
  /** The name, where it was found by name. */
  readonly name: string | undefined;
  readonly digest: Digest;
}

const SHORT_DIGEST = /^(?:sha256:)?([0-9a-f]{7,64})$/;

/**
 * Finds a manifest or an index: by its name, as it stands or as the reference that it is short for; by its digest; by the first 7
 * or more hex digits of its SHA-256.
 *
 * @throws {ImageStoreError} `not_found`; `ambiguous` for a short digest of several
 */
export async function findRoot(queries: Kysely<StoreSchema>, text: string): Promise<FoundRoot> {
  for (const name of namesOf(text)) {
    const tag = await queries.selectFrom("tags").select("root_digest").where("name", "=", name).executeTakeFirst();
    if (tag !== undefined) return { name, digest: tag.root_digest };
  }
  const wanted = isDigest(text) ? text : digestIn(text);
  const digests = wanted === undefined ? await findShort(queries, text) : await findWhole(queries, wanted);
  const [digest, ...others] = digests;
  if (digest === undefined) throw new ImageStoreError("not_found", `cannot find ${quote(text)}: not in the store`);
  if (others.length === 0) return { name: undefined, digest };
  const state = `${digests.map((each) => each.slice(0, 23)).join(", ")} begin so`;
  throw new ImageStoreError("ambiguous", `cannot find ${quote(text)}: ${state}`);
}

/** The descriptor of a manifest or an index of the store. */
export async function describeRoot(queries: Kysely<StoreSchema>, { name, digest }: FoundRoot): Promise<Descriptor> {
  const tags = queries.selectFrom("tags").select("descriptor");
  const tag = await (
    name === undefined ? tags.where("root_digest", "=", digest) : tags.where("name", "=", name)
  ).executeTakeFirst();
  const images = queries.selectFrom("images").select("descriptor").where("manifest_digest", "=", digest);
  const found = tag ?? (await images.executeTakeFirst());
  if (found === undefined) throw new ImageStoreError("not_found", `cannot find ${digest}: not in the store`);
  return parseStored(found.descriptor) as Descriptor;
}

/** A name may be any text; one that is a reference also goes by what people write for it. */
function namesOf(text: string): string[] {
  try {
    const canonical = formatReference(withDefaultTag(parseReference(text)));
    return canonical === text ? [text] : [text, canonical];
  } catch (error) {
    if (error instanceof RefsError) return [text];
    throw error;
  }
}

function digestIn(text: string): Digest | undefined {
  const [, digest = ""] = text.split("@");
  return isDigest(digest) ? digest : undefined;
}

async function findWhole(queries: Kysely<StoreSchema>, digest: Digest): Promise<Digest[]> {
  return findBetween(queries, digest, digest);
}

async function findShort(queries: Kysely<StoreSchema>, text: string): Promise<Digest[]> {
  const hex = SHORT_DIGEST.exec(text)?.[1];
  if (hex === undefined) return [];
  return findBetween(queries, `sha256:${hex}`, `sha256:${hex.padEnd(64, "f")}`);
}

/** Two are enough to tell that a text is ambiguous. */
const ENOUGH = 2;

async function findBetween(queries: Kysely<StoreSchema>, first: string, last: string): Promise<Digest[]> {
  const found = new Set<Digest>();
  for (const table of ["image_roots", "tags"] as const) {
    const rows = await queries
      .selectFrom(table)
      .select("root_digest")
      .distinct()
      .where("root_digest", ">=", first as Digest)
      .where("root_digest", "<=", last as Digest)
      .orderBy("root_digest")
      .limit(ENOUGH)
      .execute();
    for (const { root_digest } of rows) found.add(root_digest);
  }
  return [...found].toSorted();
}
