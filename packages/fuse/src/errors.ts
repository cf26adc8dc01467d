import { LamellaError } from "@lamella/refs";

/**
 * - `unsupported`: this machine, or this user, cannot mount through FUSE; or the tree has what FUSE cannot show. The message says which.
 * - `busy`: one of ours is mounted on that directory already.
 * - `mount_failed`, `unmount_failed`: mount(8) or umount(8) refused; the message has what it said.
 * - `tree_invalid`: a tree's entries are not in its order, or not as many as it says.
 * - `read_failed`: a file's bytes did not come whole, or not in time. Who reads the file gets EIO.
 * - `server_failed`: the thread that answers the kernel broke down; what it served is unmounted.
 */
export type FuseErrorCode =
  | "unsupported"
  | "busy"
  | "mount_failed"
  | "unmount_failed"
  | "tree_invalid"
  | "read_failed"
  | "server_failed";

export class FuseError extends LamellaError<FuseErrorCode> {}
