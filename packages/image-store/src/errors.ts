import { LamellaError } from "@lamella/refs";

/**
 * - `not_found`: the store has no such image or blob.
 * - `ambiguous`: a short digest of several images, or an index of several platforms where one is needed.
 * - `name_taken`: the name stands for something else, which was not to lose it.
 * - `name_invalid`: no image can have this name.
 * - `in_use`: the image has other names, which were not to go with it.
 * - `store_invalid`: what is on disk is not an OCI layout of ours, or a stored object is damaged.
 * - `not_image`: the reference names an artifact that is not a container image.
 * - `source_invalid`: the text is no reference; `cause` has the rule that it breaks.
 * - `source_unsupported`: the text names a kind of source that images cannot be read from.
 * - `quota_exceeded`: what is to be written would take the store beyond its quota.
 * - `no_space`: it would leave less free than is to stay free, or the file system has no room, or no inode, left.
 * - `too_many_files`: this process, or the system, has as many files open as it may.
 * - `io_failed`: the device under the store failed to read or write; what was being written is discarded.
 * - `build_failed`: the image that was waited for could not be built; the message says why.
 * - `build_cancelled`: its build was cancelled, or the image deleted.
 * - `timeout`: a source did not say in time what a name stands for.
 * - `closed`: the manager was closed.
 */
export type ImageStoreErrorCode =
  | "not_found"
  | "ambiguous"
  | "name_taken"
  | "name_invalid"
  | "in_use"
  | "store_invalid"
  | "not_image"
  | "source_invalid"
  | "source_unsupported"
  | "quota_exceeded"
  | "no_space"
  | "too_many_files"
  | "io_failed"
  | "build_failed"
  | "build_cancelled"
  | "timeout"
  | "closed";

export class ImageStoreError extends LamellaError<ImageStoreErrorCode> {}
