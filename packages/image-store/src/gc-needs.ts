import type { Kysely } from "@lamella/database";
import type { Digest } from "@lamella/refs";

import type { StoreSchema } from "./database/schema.js";
import { keyOfDiskFile } from "./gc-files.js";
import type { StoredFile } from "./gc-files.js";
import type { Holds } from "./gc-holds.js";
import type { DoomedRows } from "./gc-rows.js";

/** What must stay by the rows of a store, be it there or not. */
export interface Needs {
  /** Of recorded images, leases and builds; those that names lead to are found by the documents. */
  readonly blobs: ReadonlySet<Digest>;
  readonly diffIDs: ReadonlySet<string>;
  /** Files of recorded disks, relative to the store. */
  readonly diskFiles: ReadonlySet<string>;
  readonly holds: Holds;
}

/** `without`: rows that count as gone. */
export async function readNeeds(
  queries: Kysely<StoreSchema>,
  { holds, without }: { holds: Holds; without: DoomedRows | undefined },
): Promise<Needs> {
  const blobs = new Set<Digest>(holds.blob as ReadonlySet<Digest>);
  const diffIDs = new Set<string>(holds.layer);
  const images = await queries.selectFrom("images").select(["manifest_digest", "config_digest"]).execute();
  for (const { manifest_digest, config_digest } of images) {
    if (without?.images.has(manifest_digest) !== true) blobs.add(manifest_digest).add(config_digest);
  }
  const roots = await queries.selectFrom("image_roots").select(["root_digest", "manifest_digest"]).execute();
  for (const { root_digest, manifest_digest } of roots) {
    if (without?.images.has(manifest_digest) !== true && without?.roots.has(root_digest) !== true)
      blobs.add(root_digest);
  }
  for (const { digest, diff_id } of await layerRows(queries, without?.images)) {
    blobs.add(digest);
    diffIDs.add(diff_id);
  }
  const disks = await queries.selectFrom("disks").select(["key", "file"]).execute();
  const kept = disks.filter(({ key }) => without?.disks.has(key) !== true);
  return { blobs, diffIDs, diskFiles: new Set(kept.map(({ file }) => file)), holds };
}

type LayerRow = Pick<StoreSchema["image_layers"], "digest" | "diff_id">;

/** Images share most of their layers, so only where some images do not count does each row matter. */
async function layerRows(
  queries: Kysely<StoreSchema>,
  without: ReadonlySet<Digest> = new Set(),
): Promise<readonly LayerRow[]> {
  const layers = queries.selectFrom("image_layers").select(["digest", "diff_id"]);
  if (without.size === 0) return layers.distinct().execute();
  const rows = await layers.select("manifest_digest").execute();
  return rows.filter(({ manifest_digest }) => !without.has(manifest_digest));
}

/** Whether a file must stay, other than a blob. */
export function isNeeded({ kind, ref, of }: StoredFile, { diffIDs, diskFiles, holds }: Needs): boolean {
  if (kind === "layer") return diffIDs.has(ref);
  if (kind === "disk") return diskFiles.has(ref) || holds.disk.has(keyOfDiskFile(ref));
  return of !== undefined && isHeld(of, holds);
}

/** Whether what is being made is what a lease was taken for. */
export function isHeld({ kind, ref }: NonNullable<StoredFile["of"]>, holds: Holds): boolean {
  if (kind !== "disk") return holds[kind].has(ref);
  // its unfinished file has only the beginning of its key
  return [...holds.disk].some((key) => key.startsWith(ref));
}
