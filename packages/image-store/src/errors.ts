import { LamellaError } from "@lamella/refs";

/**
 * - `not_found`: the store has no such image or blob.
 * - `store_invalid`: what is on disk is not an OCI layout of ours, or a stored object is damaged.
 * - `index_too_deep`: an index of an index of an index: nobody makes those.
 * - `platform_unavailable`: the image has no manifest for the platform asked for.
 * - `not_image`: the reference names an artifact that is not a container image.
 * - `source_invalid`: the text is no reference; `cause` has the rule that it breaks.
 * - `source_unsupported`: the text names a kind of source that images cannot be read from.
 * - `busy`: another process holds the store's index for longer than we wait.
 */
export type ImageStoreErrorCode =
  | "not_found"
  | "store_invalid"
  | "index_too_deep"
  | "platform_unavailable"
  | "not_image"
  | "source_invalid"
  | "source_unsupported"
  | "busy";

export class ImageStoreError extends LamellaError<ImageStoreErrorCode> {}
