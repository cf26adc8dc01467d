import { LamellaError } from "@lamella/refs";

/**
 * - `timeout`: the registry did not give what was asked for in time.
 * - `unavailable`: it could not be reached, or gave something else; the cause says how.
 * - `chunk_mismatch`: a piece of a layer is not what its table of contents says, fetched twice.
 * - `not_verified`: a layer was asked for its files before `verify` or `skipVerify`.
 * - `toc_missing`: a layer has no table of contents.
 * - `cache_full`: what was to be fetched for later does not fit beside what is in use.
 * - `cache_unusable`: the directory of the cache cannot be used; the cause says how.
 * - `index_invalid`: the index of a layer without a table of contents breaks its format, or is that of another layer.
 * - `closed`: the layer, the cache or the resolver is closed.
 */
export type LazyLayerErrorCode =
  | "timeout"
  | "unavailable"
  | "chunk_mismatch"
  | "not_verified"
  | "toc_missing"
  | "cache_full"
  | "cache_unusable"
  | "index_invalid"
  | "closed";

export class LazyLayerError extends LamellaError<LazyLayerErrorCode> {}
