import { LamellaError } from "@lamella/refs";

/**
 * - `tar_invalid`: the tar breaks its format where Go's reader would refuse it too.
 * - `layer_invalid`: well-formed, but it cannot be a layer (a bad whiteout, a link to nothing, a file as a parent).
 * - `layer_limit`: a limit was passed; the message names it.
 * - `compression_invalid`: damaged, truncated, trailing garbage or a format that layers may not have.
 * - `archive_invalid`: a layer archive on disk is damaged or of another version.
 * - `tree_changed`: a directory or a file of it changed while it was in use as a tree.
 * - `compression_unavailable`: this version of Node cannot compress so.
 * - `output_invalid`: what stands where something shall be written is no regular file, or no empty directory.
 * - `toc_invalid`: the table of contents of an eStargz or zstd:chunked layer breaks its format, or contradicts itself.
 * - `toc_mismatch`: the table of contents says something else than the tar.
 * - `tool_missing`: a program that the work is left to is not installed; the message names it and its package.
 * - `tool_failed`: such a program failed; the message has what it said.
 * - `unpack_failed`: a tree cannot be made a directory; the message has the entry or what tar said.
 */
export type LayerFormatErrorCode =
  | "tar_invalid"
  | "layer_invalid"
  | "layer_limit"
  | "compression_invalid"
  | "archive_invalid"
  | "tree_changed"
  | "compression_unavailable"
  | "output_invalid"
  | "toc_invalid"
  | "toc_mismatch"
  | "tool_missing"
  | "tool_failed"
  | "unpack_failed";

export class LayerFormatError extends LamellaError<LayerFormatErrorCode> {}
