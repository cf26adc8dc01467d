import { LamellaError } from "@lamella/refs";

/**
 * What a storage throws and what a client is told. The registry answers each with the status and the error code that
 * the OCI distribution specification has for it; anything else that is thrown is a 500 without details.
 *
 * - `blob_unknown`, `manifest_unknown`, `upload_unknown`, `name_unknown`: there is no such thing (404).
 * - `name_invalid`, `tag_invalid`: a repository or tag breaks its grammar (400).
 * - `path_too_long`: a path has more characters than any can need (414).
 * - `page_invalid`: `n` of a listing is not a count (400).
 * - `digest_missing`: an upload is to end without a digest to end as (400).
 * - `digest_mismatch`: content is not what its digest says (400).
 * - `size_invalid`: a body is longer or shorter than its headers say (400).
 * - `range_invalid`: a chunk of an upload does not begin where the upload ends, or a byte range is outside of its blob (416).
 * - `upload_busy`: another request is using the upload (409).
 * - `uploads_exhausted`: too many uploads are open (429).
 * - `manifest_invalid`: a document is not a manifest of the type that it claims (400).
 * - `manifest_too_large`: a manifest is over its cap (413).
 * - `manifest_reference_unknown`: a manifest refers to what is not in the registry (404).
 * - `body_slow`: a body comes too slowly (408).
 * - `manifests_exhausted`: too many manifests are on their way in (429).
 * - `unauthorized`: who asks is not known, or has shown no right to this (401).
 * - `denied`: who asks is known and may not do this (403).
 * - `scope_invalid`: a token is asked for in words that are none (400).
 * - `secret_invalid`: the secret that tokens are to be signed with is too short; thrown, never answered.
 * - `storage_full`: there is no room for the bytes (507).
 * - `endpoint_unknown` (404), `method_unsupported` (405): the registry does not do that.
 */
export type RegistryErrorCode =
  | "blob_unknown"
  | "manifest_unknown"
  | "upload_unknown"
  | "name_unknown"
  | "name_invalid"
  | "tag_invalid"
  | "path_too_long"
  | "page_invalid"
  | "digest_missing"
  | "digest_mismatch"
  | "size_invalid"
  | "range_invalid"
  | "upload_busy"
  | "uploads_exhausted"
  | "manifest_invalid"
  | "manifest_too_large"
  | "manifest_reference_unknown"
  | "body_slow"
  | "manifests_exhausted"
  | "unauthorized"
  | "denied"
  | "scope_invalid"
  | "secret_invalid"
  | "storage_full"
  | "endpoint_unknown"
  | "method_unsupported";

export class RegistryError extends LamellaError<RegistryErrorCode> {}
