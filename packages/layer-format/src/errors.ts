import { LamellaError } from "@lamella/refs";

/**
 * - `tar_invalid`: the tar breaks its format where Go's reader would refuse it too.
 * - `layer_invalid`: well-formed, but it cannot be a layer (a bad whiteout, a link to nothing, a file as a parent).
 * - `layer_limit`: a limit was passed; the message names it.
 * - `compression_invalid`: damaged, truncated, trailing garbage or a format that layers may not have.
 * - `archive_invalid`: a layer archive on disk is damaged or of another version.
 */
export type LayerFormatErrorCode =
  | "tar_invalid"
  | "layer_invalid"
  | "layer_limit"
  | "compression_invalid"
  | "archive_invalid";

export class LayerFormatError extends LamellaError<LayerFormatErrorCode> {}
