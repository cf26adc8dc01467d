import { join } from "node:path";

import type { Kysely, Selectable } from "@lamella/database";
import { normalizePlatform } from "@lamella/refs";
import type { Digest } from "@lamella/refs";

import { buildOf, isUnfinished } from "./build-queue-rows.js";
import type { Build, BuildRow } from "./build-queue-rows.js";
import type { KeptConfig } from "./database/images.js";
import type { StoreSchema } from "./database/schema.js";
import { parseStored } from "./database/stored-json.js";
import { diskKeys } from "./disk-cache-key.js";
import type { KeptDisk } from "./disk-cache.js";
import type { ImageStore } from "./image-store.js";
import { builtImage, filtered, goneOf } from "./manager-image.js";
import type { BuiltImage, ManagedFilter, ManagedImage } from "./manager-image.js";

export interface ListContext {
  readonly store: Pick<ImageStore, "directory">;
  /** Of the builds of this manager's queue. */
  readonly positions: ReadonlyMap<number, number>;
}

/** Builds as `filtered` gives them, by what the database says of the images and disks that they have made: as many queries for all as for one. */
export async function listManaged(
  queries: Kysely<StoreSchema>,
  { status, ...filter }: ManagedFilter,
  context: ListContext,
): Promise<ManagedImage[]> {
  const rows = await listRows(queries, filter);
  const layers = rows.some(isLayered) ? await readLayerDisks(queries, context) : undefined;
  const positions = await readPositions(queries, rows, context);
  const images = rows.map((row): ManagedImage => {
    const build = buildOf(row);
    const image = { ...build, queuePosition: positions.get(build.id), built: undefined };
    if (build.status !== "ready") return image;
    const built = builtOf(row, build, { ...context, layers });
    return built === undefined ? { ...image, ...goneOf(build) } : { ...image, built };
  });
  return status === undefined ? images : images.filter((image) => image.status === status);
}

interface ListRow extends BuildRow {
  readonly config: string | null;
  readonly disk_file: string | null;
  readonly disk_format: string | null;
  readonly disk_bytes: number | null;
}

async function listRows(queries: Kysely<StoreSchema>, filter: ManagedFilter): Promise<ListRow[]> {
  return filtered(queries, filter)
    .leftJoin("images", "images.manifest_digest", "builds.manifest_digest")
    .leftJoin("disks", "disks.key", "builds.disk_key")
    .select([
      "images.config",
      "disks.file as disk_file",
      "disks.format as disk_format",
      "disks.size_bytes as disk_bytes",
    ])
    .execute();
}

function isLayered({ status, format }: BuildRow): boolean {
  return status === "ready" && format === "erofs-layers";
}

interface LayerDisks {
  readonly diffIDs: ReadonlyMap<Digest, readonly Digest[]>;
  readonly disks: ReadonlyMap<string, KeptDisk>;
}

/** Of all images that have a disk for each layer. */
async function readLayerDisks(queries: Kysely<StoreSchema>, context: ListContext): Promise<LayerDisks> {
  const manifests = queries
    .selectFrom("builds")
    .select("manifest_digest")
    .where("format", "=", "erofs-layers")
    .where("status", "=", "ready")
    .$castTo<{ manifest_digest: Digest }>();
  const layers = await queries
    .selectFrom("image_layers")
    .select(["manifest_digest", "diff_id"])
    .where("manifest_digest", "in", manifests)
    .orderBy("manifest_digest")
    .orderBy("position")
    .execute();
  const disks = await queries
    .selectFrom("disk_images")
    .innerJoin("disks", "disks.key", "disk_images.disk_key")
    .select(["disks.key", "disks.file", "disks.format", "disks.size_bytes"])
    .distinct()
    .where("disk_images.manifest_digest", "in", manifests)
    .execute();
  const diffIDs = new Map<Digest, Digest[]>();
  for (const { manifest_digest, diff_id } of layers) {
    const known = diffIDs.get(manifest_digest);
    if (known === undefined) diffIDs.set(manifest_digest, [diff_id]);
    else known.push(diff_id);
  }
  return { diffIDs, disks: new Map(disks.map((row) => [row.key, keptDisk(row, context)])) };
}

function builtOf(
  { config: text, disk_key, disk_file, disk_format, disk_bytes }: ListRow,
  build: Build,
  context: ListContext & { layers: LayerDisks | undefined },
): BuiltImage | undefined {
  if (text === null || disk_key === null || disk_file === null || disk_format === null || disk_bytes === null) {
    return undefined;
  }
  const { config, ...platform } = parseStored(text) as KeptConfig;
  if (build.request.format !== "erofs-layers") {
    const disk = { key: disk_key, file: disk_file, format: disk_format, size_bytes: disk_bytes };
    return builtImage(config, [keptDisk(disk, context)]);
  }
  const diffIDs = context.layers?.diffIDs.get(build.manifestDigest!) ?? [];
  const keys = diskKeys({ diffIDs, platform: normalizePlatform(platform), request: build.request });
  const disks = keys.flatMap((key) => context.layers?.disks.get(key) ?? []);
  return disks.length < keys.length ? undefined : builtImage(config, disks);
}

type DiskRow = Pick<Selectable<StoreSchema["disks"]>, "key" | "file" | "format" | "size_bytes">;

function keptDisk({ key, file, format, size_bytes }: DiskRow, { store }: ListContext): KeptDisk {
  return { key, format: format as KeptDisk["format"], path: join(store.directory, file), sizeBytes: size_bytes };
}

/** Of the builds that have not ended: 0 for those that have begun, then 1, 2, … in each queue. */
async function readPositions(
  queries: Kysely<StoreSchema>,
  rows: readonly BuildRow[],
  { positions }: ListContext,
): Promise<Map<number, number>> {
  const unfinished = rows.filter(({ status }) => isUnfinished(status));
  const isElsewhere = unfinished.some(({ id, status }) => status === "pending" && !positions.has(id));
  const others = isElsewhere ? await countWaiting(queries) : undefined;
  return new Map(unfinished.map(({ id }) => [id, positions.get(id) ?? others?.get(id) ?? 0]));
}

async function countWaiting(queries: Kysely<StoreSchema>): Promise<Map<number, number>> {
  const waiting = queries.selectFrom("builds").select(["id", "owner"]).where("status", "=", "pending").orderBy("id");
  const counts = new Map<string | null, number>();
  const positions = new Map<number, number>();
  for (const { id, owner } of await waiting.execute()) {
    const position = (counts.get(owner) ?? 0) + 1;
    counts.set(owner, position);
    positions.set(id, position);
  }
  return positions;
}
