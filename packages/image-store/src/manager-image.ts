import type { Kysely, SelectQueryBuilder } from "@lamella/database";
import { isSystemdImage } from "@lamella/disk-export";
import { formatPlatform, formatReference, parseReference, quote, RefsError, withDefaultTag } from "@lamella/refs";
import type { CallOptions, Digest, Platform, RunConfig } from "@lamella/refs";

import { buildOf } from "./build-queue-rows.js";
import type { Build, BuildRow } from "./build-queue-rows.js";
import type { BuildStatus, StoreSchema } from "./database/schema.js";
import { diskKeys } from "./disk-cache-key.js";
import type { DiskRequest } from "./disk-cache-key.js";
import { findDisks } from "./disk-cache.js";
import type { KeptDisk } from "./disk-cache.js";
import { ImageStoreError } from "./errors.js";
import type { ImageStore } from "./image-store.js";
import type { StoredImage } from "./stored-image.js";

/** An image that a manager was asked for, with where its build is. */
export interface ManagedImage extends Build {
  /** 0 while it is built, 1 for the next to be; of one that has not ended. */
  readonly queuePosition: number | undefined;
  /** Once it is ready. */
  readonly built: BuiltImage | undefined;
}

export interface BuiltImage {
  /** How its containers run: entrypoint, cmd, env, user, working directory, labels, … */
  readonly config: RunConfig;
  /** Whether a machine can boot into the image itself. */
  readonly isSystemdImage: boolean;
  /** One; or one for each layer, base first. */
  readonly disks: readonly KeptDisk[];
  /** Of the disks together. */
  readonly sizeBytes: number;
}

export interface ManagedFilter {
  platform?: Platform | undefined;
  format?: DiskRequest["format"] | undefined;
  status?: BuildStatus | undefined;
}

const SHORT_DIGEST = /^(?:[^@]*@)?(?:sha256:)?([0-9a-f]{7,64})$/;
/** Two are enough to tell that a text is ambiguous. */
const ENOUGH = 2;

/** The canonical reference of an image's name. @throws {ImageStoreError} `name_invalid` */
export function canonicalName(name: string): string {
  try {
    return formatReference(withDefaultTag(parseReference(name)));
  } catch (error) {
    if (!(error instanceof RefsError)) throw error;
    const message = `cannot take ${quote(name)} for an image: not a reference`;
    throw new ImageStoreError("name_invalid", message, { cause: error });
  }
}

/**
 * The build that a text means: by name, as it was asked for or as the reference that it is short for; by the digest of the image or of its index, or the first 7 or
 * more hex digits. Of several builds, the one that was asked for last.
 *
 * @throws {ImageStoreError} `not_found`; `ambiguous` for a short digest of several
 */
export async function findBuild(
  queries: Kysely<StoreSchema>,
  text: string,
  filter: ManagedFilter = {},
): Promise<BuildRow> {
  const named = await filtered(queries, filter).where("name", "in", namesOf(text)).executeTakeFirst();
  if (named !== undefined) return named;
  const hex = SHORT_DIGEST.exec(text)?.[1];
  const [first] = hex === undefined ? [] : await findByDigest(queries, hex, filter);
  if (first !== undefined) return first;
  throw new ImageStoreError("not_found", `cannot find ${quote(text)}: no such image was asked for`);
}

async function findByDigest(queries: Kysely<StoreSchema>, hex: string, filter: ManagedFilter): Promise<BuildRow[]> {
  for (const column of ["root_digest", "manifest_digest"] as const) {
    const found = filtered(queries, filter)
      .where(column, ">=", `sha256:${hex}` as Digest)
      .where(column, "<=", `sha256:${hex.padEnd(64, "f")}` as Digest);
    const rows = await found.execute();
    const digests = new Set(rows.map((row) => row[column]));
    if (digests.size >= ENOUGH) {
      throw new ImageStoreError("ambiguous", `cannot find ${hex}: ${digests.size} images begin so`);
    }
    if (rows.length > 0) return rows;
  }
  return [];
}

type BuildRows = SelectQueryBuilder<StoreSchema, "builds", BuildRow>;

/** Builds, the one that was asked for last first. */
export function filtered(queries: Kysely<StoreSchema>, { platform, format, status }: ManagedFilter): BuildRows {
  let query = queries
    .selectFrom("builds")
    .selectAll("builds")
    .orderBy("builds.created_at", "desc")
    .orderBy("builds.id", "desc");
  if (platform !== undefined) query = query.where("builds.platform", "=", formatPlatform(platform));
  if (format !== undefined) query = query.where("builds.format", "=", format);
  if (status !== undefined) query = query.where("builds.status", "=", status);
  return query;
}

/** What a build has come to whose image or disks are not there any more. */
export function goneOf({ name }: Build): Pick<Build, "status" | "error" | "errorCode"> {
  const error = `cannot use ${name}: its image or a disk of it is not in the store any more`;
  return { status: "failed", error, errorCode: "not_found" };
}

function namesOf(text: string): string[] {
  try {
    return [text, canonicalName(text)];
  } catch (error) {
    if (error instanceof ImageStoreError) return [text];
    throw error;
  }
}

/** A build with what it has made. One whose image or disks have gone since has failed: it can be built again. */
export async function readManaged(
  store: ImageStore,
  row: BuildRow,
  queuePosition: number | undefined,
  options: CallOptions = {},
): Promise<ManagedImage> {
  const build = buildOf(row);
  const image = { ...build, queuePosition, built: undefined };
  if (build.status !== "ready") return image;
  const built = await readBuilt(store, build, options);
  return built === undefined ? { ...image, ...goneOf(build) } : { ...image, built };
}

async function readBuilt(store: ImageStore, build: Build, options: CallOptions): Promise<BuiltImage | undefined> {
  const stored = await getStored(store, build.manifestDigest!, options);
  if (stored === undefined) return undefined;
  const diffIDs = stored.layers.map(({ diffID }) => diffID);
  const keys = diskKeys({ diffIDs, platform: stored.platform, request: build.request });
  const disks = await findDisks(store, keys, options);
  if (disks === undefined) return undefined;
  return builtImage(stored.config, disks);
}

export function builtImage(config: RunConfig, disks: readonly KeptDisk[]): BuiltImage {
  const sizeBytes = disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
  return { config, isSystemdImage: isSystemdImage(config), disks, sizeBytes };
}

async function getStored(store: ImageStore, digest: Digest, options: CallOptions): Promise<StoredImage | undefined> {
  try {
    return await store.get(digest, options);
  } catch (error) {
    if (error instanceof ImageStoreError && error.code === "not_found") return undefined;
    throw error;
  }
}
