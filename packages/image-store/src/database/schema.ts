import type { Generated } from "@lamella/database";
import type { Digest } from "@lamella/refs";

/*
 *   tags ── root_digest ──> image_roots ── manifest_digest ──> images ──> image_layers
 *                                                                 └─────> disk_images ──> disks; builds
 *   leases ──> lease_items        names of blobs, layer archives and disks that must not go
 *   layout, removed_tags          what of the tags `index.json` says already
 *
 * Times are milliseconds since 1970, sizes bytes; JSON is text.
 */

/** What is known of a store's files: `lamella.db`. */
export interface StoreSchema {
  tags: TagsTable;
  images: ImagesTable;
  image_roots: ImageRootsTable;
  image_layers: ImageLayersTable;
  disks: DisksTable;
  disk_images: DiskImagesTable;
  builds: BuildsTable;
  leases: LeasesTable;
  lease_items: LeaseItemsTable;
  layout: LayoutTable;
  removed_tags: RemovedTagsTable;
}

/** `registry`: kept as what a registry has under this name, and moved when the registry moves it. `local`: named by the user. */
export type TagScope = "local" | "registry";

/** A name of an index or a manifest, which may be of an image, of several or of an artifact that is none. */
interface TagsTable {
  name: string;
  descriptor: string;
  root_digest: Digest;
  scope: TagScope;
  created_at: number;
  updated_at: number;
}

/** An image of one platform, all blobs of which were in the store when the row was written. */
interface ImagesTable {
  manifest_digest: Digest;
  descriptor: string;
  platform: string;
  config_digest: Digest;
  config_size_bytes: number;
  /** An `ImageConfig` without its layers and history. */
  config: string;
  /** Of config, manifest and layers, each blob once. */
  size_bytes: number;
  created_at: number;
}

/** Which index or manifest leads to an image; its manifest always does. */
interface ImageRootsTable {
  root_digest: Digest;
  manifest_digest: Digest;
}

/** The layers of an image, base first from position 0. */
interface ImageLayersTable {
  manifest_digest: Digest;
  position: number;
  digest: Digest;
  media_type: string;
  size_bytes: number;
  diff_id: Digest;
}

/** Disks that are kept. */
interface DisksTable {
  key: string;
  /** The image that it was made for first. */
  manifest_digest: Digest;
  format: string;
  options: string;
  /** Relative to the store's directory. */
  file: string;
  size_bytes: number;
  created_at: number;
  used_at: number;
}

/** Whose disks they are: images with the same layers share one, which stays as long as any of them does. */
interface DiskImagesTable {
  disk_key: string;
  manifest_digest: Digest;
}

export type BuildStatus = "pending" | "pulling" | "converting" | "ready" | "failed" | "cancelled";

interface BuildsTable {
  id: Generated<number>;
  /** As it was asked for. */
  name: string;
  platform: string;
  format: string;
  options: string;
  manifest_digest: Digest | null;
  root_digest: Digest | null;
  /** Of the highest layer's, where there is one for each. */
  disk_key: string | null;
  status: BuildStatus;
  error: string | null;
  error_code: string | null;
  /** The queue of the process that builds it, or will: `processOwner` ":" a random part. */
  owner: string | null;
  attempts: Generated<number>;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  /** Unique among what is not finished: what is asked for again meanwhile is the same build. */
  idempotency_key: string | null;
}

/** Void once its process is gone or its time is over. */
interface LeasesTable {
  id: string;
  owner: string;
  purpose: string;
  created_at: number;
  expires_at: number | null;
}

/** A blob by digest, the archive of a layer by diffID, a disk by key. */
export type LeaseItemKind = "blob" | "layer" | "disk";

interface LeaseItemsTable {
  lease_id: string;
  kind: LeaseItemKind;
  ref: string;
}

/** One row. `wanted` counts the changes of tags, `written` says up to which of them `index.json` has them. */
interface LayoutTable {
  id: 1;
  wanted: number;
  written: number;
  /** Tells the `index.json` of this store from one that another tool has written since. */
  file: string | null;
}

/** Names that `index.json` may still have though they are gone: not to be adopted from there. */
interface RemovedTagsTable {
  name: string;
  /** The change of tags that removed it. */
  wanted: number;
}
