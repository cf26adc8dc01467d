import { LamellaError } from "@lamella/refs";

/**
 * - `unsupported`: the format cannot hold this tree (the message names the entry and the limit).
 * - `option_invalid`: an option is out of its range or does not fit the format.
 * - `size_too_small`: the tree does not fit in the size asked for; the message says how much is needed.
 * - `tree_invalid`: the tree broke its contract (a file gave fewer bytes than its size, an entry came before its parent).
 * - `write_failed`: the output could not be written; `cause` is the system's error.
 */
export type DiskExportErrorCode = "unsupported" | "option_invalid" | "size_too_small" | "tree_invalid" | "write_failed";

export class DiskExportError extends LamellaError<DiskExportErrorCode> {}
