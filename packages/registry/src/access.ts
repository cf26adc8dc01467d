/** What may be done: `pull`, `push` and `delete` in a repository, `*` with the catalog. */
export type AccessAction = "pull" | "push" | "delete" | "*";

/** Actions on a repository, or on the registry's `catalog` (Distribution, "Token Scope Documentation"). */
export interface Access {
  readonly type: "repository" | "registry";
  readonly name: string;
  readonly actions: readonly AccessAction[];
}

/** Why a request is not answered. */
export interface Refusal {
  /** `unauthorized` (401): who asks has to show who that is, or a right to this. `denied` (403): known, and not allowed. */
  readonly code: "unauthorized" | "denied";
  /** The value of `WWW-Authenticate`, which tells a client how to get in. */
  readonly challenge?: string;
}

/**
 * Decides about a request before anything is looked up or read for it: `undefined` lets it pass. `wanted` is undefined for `/v2/`, by
 * which clients learn whether they are known at all.
 *
 * Repositories are kept apart as far as their storage does so: see `RegistryStorage` about blobs that all of them share.
 */
export type Authorize = (request: Request, wanted: Access | undefined) => Promise<Refusal | undefined>;
