import { LamellaError } from "@lamella/refs";

/**
 * - `unsupported`: the format cannot hold this tree (the message names the entry and the limit); of a disk that is read, it uses what
 *   this package cannot read, or has to be repaired first.
 * - `option_invalid`: an option is out of its range or does not fit the format.
 * - `size_too_small`: the tree does not fit in the size asked for; the message says how much is needed.
 * - `tree_invalid`: the tree broke its contract (a file gave fewer bytes than its size, an entry came before its parent).
 * - `disk_invalid`: a disk that is read contradicts itself or ends too soon; the message names the inode or the structure.
 * - `write_failed`: the output could not be written; `cause` is the system's error.
 */
export type DiskExportErrorCode =
  | "unsupported"
  | "option_invalid"
  | "size_too_small"
  | "tree_invalid"
  | "disk_invalid"
  | "write_failed";

export class DiskExportError extends LamellaError<DiskExportErrorCode> {}
