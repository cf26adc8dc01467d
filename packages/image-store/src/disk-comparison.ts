import { open } from "node:fs/promises";

import type { Kysely } from "@lamella/database";
import { DiskExportError, planDisk, planErofsLayers } from "@lamella/disk-export";
import type { DiskPlan } from "@lamella/disk-export";
import { openLayer, verifyLayer } from "@lamella/layer-format/node";
import type { Layer } from "@lamella/layer-format";
import { parsePlatform } from "@lamella/refs";
import type { CallOptions, Digest } from "@lamella/refs";

import type { ContentStore } from "./content-store.js";
import type { StoreSchema } from "./database/schema.js";
import { diskKeys, parseRequest } from "./disk-cache-key.js";
import type { DiskRequest } from "./disk-cache-key.js";
import { openLayersTree } from "./image-tree.js";
import { layerDirectory } from "./pull.js";

/** What a recorded disk was made of. */
export interface DiskOrigin {
  readonly diffIDs: readonly Digest[];
  readonly request: DiskRequest;
  /** Which of the disks of the request, from 0. */
  readonly index: number;
}

/** Finds out of what layers and by what request a disk was made. Undefined where its image has gone, or a writer of before made it. */
export async function findOrigin(queries: Kysely<StoreSchema>, key: string): Promise<DiskOrigin | undefined> {
  const row = await queries
    .selectFrom("disks")
    .innerJoin("disk_images", "disk_images.disk_key", "disks.key")
    .innerJoin("images", "images.manifest_digest", "disk_images.manifest_digest")
    .select(["disks.format", "disks.options", "images.manifest_digest", "images.platform"])
    .where("disks.key", "=", key)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const layers = await queries
    .selectFrom("image_layers")
    .select("diff_id")
    .where("manifest_digest", "=", row.manifest_digest)
    .orderBy("position")
    .execute();
  const diffIDs = layers.map(({ diff_id }) => diff_id);
  const platform = parsePlatform(row.platform);
  for (const format of row.format === "erofs" ? ["erofs", "erofs-layers"] : [row.format]) {
    const request = parseRequest(format, row.options);
    const index = keysOf(request, (known) => diskKeys({ diffIDs, platform, request: known })).indexOf(key);
    if (index >= 0) return { diffIDs, request, index };
  }
  return undefined;
}

/** The options are of one of the formats, and may be none of the other. */
function keysOf(request: DiskRequest, keys: (request: DiskRequest) => string[]): string[] {
  try {
    return keys(request);
  } catch (error) {
    if (error instanceof DiskExportError && error.code === "option_invalid") return [];
    throw error;
  }
}

/**
 * Where the bytes of a disk begin to differ from those that its layers give, which must be held. Undefined where they do not, and where a
 * layer is not whole, as nobody can tell then.
 */
export async function findDifference(
  content: ContentStore,
  path: string,
  origin: DiskOrigin,
  options: CallOptions,
): Promise<number | undefined> {
  const compare = (plan: DiskPlan): Promise<number | undefined> => compareWith(plan, path, options);
  const difference = await withPlan(content, origin, compare, options);
  if (difference === undefined) return undefined;
  for (const diffID of origin.diffIDs) await verifyLayer(layerDirectory(content, diffID), options);
  return difference;
}

async function withPlan<Result>(
  content: ContentStore,
  { diffIDs, request, index }: DiskOrigin,
  use: (plan: DiskPlan) => Promise<Result>,
  call: CallOptions,
): Promise<Result> {
  if (request.format !== "erofs-layers") {
    await using tree = await openLayersTree(content, diffIDs, call);
    await using plan = await planDisk(tree, { ...request, ...call });
    return await use(plan);
  }
  const { format: _, ...wanted } = request;
  const layers: Layer[] = [];
  try {
    for (const diffID of diffIDs) layers.push(await openLayer(layerDirectory(content, diffID), call));
    let at = 0;
    for await (const plan of planErofsLayers(layers, { ...wanted, ...call })) {
      await using planned = plan;
      if (at++ === index) return await use(planned);
    }
    throw new Error(`cannot plan disk ${index} of ${diffIDs.length} layers`);
  } finally {
    for (const layer of layers) await layer[Symbol.asyncDispose]();
  }
}

async function compareWith(plan: DiskPlan, path: string, options: CallOptions): Promise<number | undefined> {
  const handle = await open(path);
  try {
    let offset = 0;
    // a planned chunk is valid only until the next is asked for
    for await (const planned of plan.read(0, plan.sizeBytes, options)) {
      const found = Buffer.allocUnsafe(planned.length);
      const { bytesRead } = await handle.read(found, 0, found.length, offset);
      if (bytesRead < planned.length || found.compare(planned) !== 0) {
        return offset + planned.findIndex((byte, at) => at >= bytesRead || byte !== found[at]);
      }
      offset += planned.length;
    }
    return undefined;
  } finally {
    await handle.close();
  }
}
