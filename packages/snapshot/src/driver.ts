import type { FileTree, Layer } from "@lamella/layer-format";
import type { CallOptions } from "@lamella/refs";

import type { Mount } from "./mount.js";
import type { AppliedLayer, ApplyOptions, Usage } from "./snapshotter.js";

/** Where a snapshot is. */
export interface SnapshotPlace {
  /** A decimal number that no snapshot had before; the last part of `directory`. */
  readonly id: string;
  /** The driver's own to fill; all snapshots' are beside each other. Moving all of them together must not break them. */
  readonly directory: string;
  readonly kind: "active" | "view" | "committed";
  /** The directories of the snapshots below, the base first. */
  readonly parents: readonly string[];
}

/**
 * How snapshots are kept. Names, kinds, labels and the order of calls are the Snapshotter's; a driver only fills directories.
 * What it has written is on disk (fsync) when `apply` and `commit` resolve.
 */
export interface SnapshotDriver {
  readonly name: string;
  /** False where a snapshot that was made on no parent cannot be given one when it is committed. */
  readonly rebases?: false;
  /** Fills the fresh directory of an active snapshot or a view. */
  create(place: SnapshotPlace, options: CallOptions): Promise<void>;
  mounts(place: SnapshotPlace): Promise<readonly Mount[]>;
  /** What the snapshot shows, its parents included. */
  openTree(place: SnapshotPlace, options: CallOptions): Promise<FileTree>;
  /** What the snapshot changes of its parents, where the driver knows that without comparing; its diffID stands for no tar. */
  openChanges?(place: SnapshotPlace, options: CallOptions): Promise<Layer>;
  /** As {@link Snapshotter.apply} has it. */
  apply(place: SnapshotPlace, tar: AsyncIterable<Uint8Array>, options: ApplyOptions): Promise<AppliedLayer>;
  usage(place: SnapshotPlace, options: CallOptions): Promise<Usage>;
  /** Makes an active snapshot ready to be a parent. It may be called again after a crash. */
  commit(place: SnapshotPlace, options: CallOptions): Promise<void>;
  /** Lets go of the directory, which is removed then: what is mounted in it is unmounted. */
  release?(place: SnapshotPlace): Promise<void>;
}
