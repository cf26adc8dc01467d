import { LamellaError } from "@lamella/refs";

/**
 * - `not_found`: the store has no such image or blob.
 * - `store_invalid`: what is on disk is not an OCI layout of ours, or a stored object is damaged.
 * - `not_image`: the reference names an artifact that is not a container image.
 * - `source_invalid`: the text is no reference; `cause` has the rule that it breaks.
 * - `source_unsupported`: the text names a kind of source that images cannot be read from.
 */
export type ImageStoreErrorCode = "not_found" | "store_invalid" | "not_image" | "source_invalid" | "source_unsupported";

export class ImageStoreError extends LamellaError<ImageStoreErrorCode> {}
