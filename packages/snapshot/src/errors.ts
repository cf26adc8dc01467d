import { LamellaError } from "@lamella/refs";

/**
 * - `layer_mismatch`: an opened layer is not the one of its place in the chain.
 * - `already_exists`, `not_found`, `failed_precondition`, `invalid_argument`: as containerd's snapshotters have them.
 * - `unsupported`: a snapshot holds what cannot be told in a layer, or the machine lacks what the driver needs.
 * - `mount_failed`: mount(8) or umount(8) refused; the message has what it said.
 * - `snapshot_invalid`: what is on disk is not what a snapshotter has written.
 */
export type SnapshotErrorCode =
  | "layer_mismatch"
  | "already_exists"
  | "not_found"
  | "failed_precondition"
  | "invalid_argument"
  | "unsupported"
  | "mount_failed"
  | "snapshot_invalid";

export class SnapshotError extends LamellaError<SnapshotErrorCode> {}
