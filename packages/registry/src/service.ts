import type { Gate } from "./gate.js";
import type { Limits } from "./limits.js";
import type { RegistryStorage } from "./storage.js";

/** What the routes of one registry share. */
export interface Service extends RegistryStorage {
  readonly gate: Gate;
  readonly limits: Limits;
  readonly deletion: Deletion;
}

/** What clients may delete; the rest is refused with 405. */
export interface Deletion {
  /** True if not given. */
  readonly tags?: boolean;
  /** True if not given. */
  readonly manifests?: boolean;
  /** True if not given, where the storage can. */
  readonly blobs?: boolean;
}
