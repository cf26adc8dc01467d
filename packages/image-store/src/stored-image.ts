import { sql } from "@lamella/database";
import type { Kysely } from "@lamella/database";
import { formatPlatform, normalizePlatform, selectPlatform } from "@lamella/refs";
import type { Descriptor, Digest, Platform, RunConfig } from "@lamella/refs";

import type { KeptConfig } from "./database/images.js";
import type { FoundRoot } from "./database/roots.js";
import type { StoreSchema, TagScope } from "./database/schema.js";
import { parseStored } from "./database/stored-json.js";
import { ImageStoreError } from "./errors.js";

/** An image of one platform in the store, by one index or manifest that leads to it. */
export interface ListedImage {
  /** All names of the root, sorted. */
  readonly names: readonly string[];
  /** Of the root: what the names stand for, an index or the manifest itself. */
  readonly digest: Digest;
  readonly manifestDigest: Digest;
  readonly platform: Platform;
  /** How its containers run: entrypoint, cmd, env, user, working directory, labels, … */
  readonly config: RunConfig;
  /** When the image was made, as its config says it: RFC 3339. */
  readonly created: string | undefined;
  /** Of config, manifest and layers as transported, each blob once. */
  readonly sizeBytes: number;
  /** When it came into the store. */
  readonly createdAt: Date;
}

/** A listed image, with what belongs to it. */
export interface StoredImage extends ListedImage {
  readonly configDigest: Digest;
  /** Base first. The same layer may occur twice. */
  readonly layers: readonly StoredLayer[];
  /** The disks that are kept of it. */
  readonly disks: readonly StoredDisk[];
}

export interface StoredLayer {
  readonly descriptor: Descriptor;
  readonly diffID: Digest;
}

export interface StoredDisk {
  readonly key: string;
  readonly format: string;
  /** Relative to the store's directory. */
  readonly file: string;
  readonly sizeBytes: number;
  readonly createdAt: Date;
  readonly usedAt: Date;
}

interface ImageRow {
  readonly root_digest: Digest;
  readonly manifest_digest: Digest;
  readonly config: string;
  readonly size_bytes: number;
  readonly created_at: number;
}

const COLUMNS = [
  "image_roots.root_digest",
  "images.manifest_digest",
  "images.config",
  "images.size_bytes",
  "images.created_at",
] as const;

/**
 * The one image that a root leads to; of several platforms the one that runs on `platform`.
 * @throws {ImageStoreError} `not_found`, `ambiguous`
 */
export async function readStoredImage(
  queries: Kysely<StoreSchema>,
  root: FoundRoot,
  platform: Platform | undefined,
): Promise<StoredImage> {
  const rows = await queries
    .selectFrom("image_roots")
    .innerJoin("images", "images.manifest_digest", "image_roots.manifest_digest")
    .select([...COLUMNS, "images.descriptor", "images.config_digest"])
    .where("image_roots.root_digest", "=", root.digest)
    .orderBy("images.platform")
    .execute();
  const row = choose(rows, root, platform);
  const tags = await queries
    .selectFrom("tags")
    .select("name")
    .where("root_digest", "=", root.digest)
    .orderBy("name")
    .execute();
  const layers = await queries
    .selectFrom("image_layers")
    .selectAll()
    .where("manifest_digest", "=", row.manifest_digest)
    .orderBy("position")
    .execute();
  const disks = await queries
    .selectFrom("disk_images")
    .innerJoin("disks", "disks.key", "disk_images.disk_key")
    .selectAll("disks")
    .where("disk_images.manifest_digest", "=", row.manifest_digest)
    .orderBy("disks.key")
    .execute();
  return Object.assign(
    new LazyImage(
      row,
      tags.map(({ name }) => name),
    ),
    {
      configDigest: row.config_digest,
      layers: layers.map(({ media_type: mediaType, digest, size_bytes: size, diff_id: diffID }) => ({
        descriptor: { mediaType, digest, size },
        diffID,
      })),
      disks: disks.map((disk) => ({
        key: disk.key,
        format: disk.format,
        file: disk.file,
        sizeBytes: disk.size_bytes,
        createdAt: new Date(disk.created_at),
        usedAt: new Date(disk.used_at),
      })),
    },
  );
}

function choose<Row extends ImageRow & { readonly descriptor: string }>(
  rows: readonly Row[],
  { name, digest }: FoundRoot,
  platform: Platform | undefined,
): Row {
  const title = name ?? digest;
  const [first] = rows;
  if (first === undefined) {
    throw new ImageStoreError("not_found", `cannot find ${title}: no image of it is whole in the store`);
  }
  const offered = rows.map((row) => formatPlatform(platformOf(row))).join(", ");
  if (platform === undefined) {
    if (rows.length === 1) return first;
    throw new ImageStoreError("ambiguous", `cannot tell which platform of ${title} is meant: there are ${offered}`);
  }
  const candidates = new Map<Descriptor, Row>(
    rows.map((row) => [{ ...(parseStored(row.descriptor) as Descriptor), platform: platformOf(row) }, row]),
  );
  const chosen = selectPlatform(candidates.keys(), platform);
  const row = chosen && candidates.get(chosen);
  if (row !== undefined) return row;
  const state = `of it the store has ${offered}`;
  throw new ImageStoreError("not_found", `cannot find platform ${formatPlatform(platform)} of ${title}: ${state}`);
}

export interface ImageFilter {
  /** Only images that have a name of this scope. */
  scope?: TagScope | undefined;
  platform?: Platform | undefined;
}

/** Where a page of the list ended. */
export type PageEnd = Pick<ImageRow, "root_digest" | "manifest_digest">;

const PAGE_ROWS = 2000;
/** No name has a control character. */
const BETWEEN_NAMES = "\n";

/**
 * Images in the order of their digests, a page at a time: by each root that has a name; those that no name leads to, by their manifest.
 * One query brings all of a page, as rows cost more than the work on them.
 */
export async function readImagePage(
  queries: Kysely<StoreSchema>,
  filter: ImageFilter,
  after: PageEnd | undefined,
): Promise<{ images: ListedImage[]; end: PageEnd | undefined }> {
  let query = queries
    .selectFrom("image_roots")
    .innerJoin("images", "images.manifest_digest", "image_roots.manifest_digest")
    .select(COLUMNS)
    .select(({ selectFrom }) =>
      selectFrom("tags")
        .select(sql<string>`group_concat(name, ${BETWEEN_NAMES})`.as("joined"))
        .whereRef("tags.root_digest", "=", "image_roots.root_digest")
        .as("names"),
    )
    .where(({ or, and, not, exists, eb, ref, selectFrom }) => {
      const tags = selectFrom("tags").select("name").whereRef("tags.root_digest", "=", "image_roots.root_digest");
      if (filter.scope !== undefined) return exists(tags.where("scope", "=", filter.scope));
      const ofImage = selectFrom("image_roots as roots")
        .innerJoin("tags", "tags.root_digest", "roots.root_digest")
        .select("tags.name")
        .whereRef("roots.manifest_digest", "=", "images.manifest_digest");
      const isItsOwnRoot = eb("image_roots.root_digest", "=", ref("image_roots.manifest_digest"));
      return or([exists(tags), and([isItsOwnRoot, not(exists(ofImage))])]);
    })
    .orderBy("image_roots.root_digest")
    .orderBy("image_roots.manifest_digest")
    .limit(PAGE_ROWS);
  if (after !== undefined) {
    query = query.where(({ eb, refTuple, tuple }) =>
      eb(
        refTuple("image_roots.root_digest", "image_roots.manifest_digest"),
        ">",
        tuple(after.root_digest, after.manifest_digest),
      ),
    );
  }
  if (filter.platform !== undefined) query = query.where("images.platform", "=", formatPlatform(filter.platform));
  const rows = await query.execute();
  return {
    images: rows.map((row) => new LazyImage(row, namesIn(row.names))),
    end: rows.length === PAGE_ROWS ? rows.at(-1) : undefined,
  };
}

/**
 * Of many images few are looked at more closely, so their JSON is read when it is asked for. What reads it is the same for all: getters in an
 * object literal would be made anew for each.
 */
class LazyImage implements ListedImage {
  declare readonly names: readonly string[];
  declare readonly digest: Digest;
  declare readonly manifestDigest: Digest;
  declare readonly platform: Platform;
  declare readonly config: RunConfig;
  declare readonly created: string | undefined;
  declare readonly sizeBytes: number;
  declare readonly createdAt: Date;
  readonly #row: ImageRow;

  constructor(row: ImageRow, names: readonly string[]) {
    this.#row = row;
    this.names = names;
    this.digest = row.root_digest;
    this.manifestDigest = row.manifest_digest;
    Object.defineProperty(this, "platform", LazyImage.#PLATFORM);
    Object.defineProperty(this, "config", LazyImage.#CONFIG);
    Object.defineProperty(this, "created", LazyImage.#CREATED);
    this.sizeBytes = row.size_bytes;
    this.createdAt = new Date(row.created_at);
  }

  static readonly #PLATFORM = own((image) => platformOf(image.#row));
  static readonly #CONFIG = own((image) => configOf(image.#row).config);
  static readonly #CREATED = own((image) => configOf(image.#row).created);
}

/** A property that each image has itself, so that copies and JSON of an image have it too. */
function own(read: (image: LazyImage) => unknown): PropertyDescriptor {
  return {
    enumerable: true,
    get(this: LazyImage) {
      return read(this);
    },
  };
}

function namesIn(joined: string | null): readonly string[] {
  if (joined === null) return [];
  return joined.includes(BETWEEN_NAMES) ? joined.split(BETWEEN_NAMES).toSorted() : [joined];
}

function configOf({ config }: ImageRow): KeptConfig {
  return parseStored(config) as KeptConfig;
}

function platformOf(row: ImageRow): Platform {
  return normalizePlatform(configOf(row));
}
