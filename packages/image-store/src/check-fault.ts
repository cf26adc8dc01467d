import type { Database } from "@lamella/database";
import type { CallOptions } from "@lamella/refs";

import type { ContentStore } from "./content-store.js";
import type { StoreSchema } from "./database/schema.js";
import type { ImageStore } from "./image-store.js";

/**
 * - `database_damaged`: `lamella.db` cannot be read, or contradicts itself.
 * - `blob_damaged`: a blob's bytes have another digest than its name says.
 * - `image_incomplete`: a recorded image lacks a blob.
 * - `image_wrong`: what is recorded of an image is not what its documents say.
 * - `image_unrecorded`: a name leads to an image that is whole and not recorded.
 * - `name_broken`: a name stands for an index or a manifest that is not there.
 * - `layer_damaged`: a layer archive is not whole.
 * - `disk_damaged`: a recorded disk is not there, has another size, or other bytes than its layers give.
 * - `index_wrong`: `index.json` does not say what the names are, or `oci-layout` of what version they are.
 */
export type FindingKind =
  | "database_damaged"
  | "blob_damaged"
  | "image_incomplete"
  | "image_wrong"
  | "image_unrecorded"
  | "name_broken"
  | "layer_damaged"
  | "disk_damaged"
  | "index_wrong";

/** Something that is wrong with a store, and how to mend it. */
export interface Fault {
  readonly kind: FindingKind;
  /** A digest, a name, a file below the store. */
  readonly subject: string;
  /** "its digest is …" */
  readonly problem: string;
  /** Mends it if it is still so, and tells what was done: "dropped, …". */
  repair(): Promise<string>;
}

/**
 * What of a store is looked at. What looks wrong is looked at once more by `content`, within a write transaction: nothing is removed or
 * recorded then, so what is seen is no trace of others at work.
 */
export type CheckedStore = Pick<ImageStore, "directory" | "lease" | "record"> & {
  readonly content: ContentStore;
  /** As `content`; a blob that it has found once it counts as there. */
  readonly known: ContentStore;
  readonly database: Database<StoreSchema>;
  flush(options?: CallOptions): Promise<void>;
};
