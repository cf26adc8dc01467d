import type { FileTree, Layer } from "@lamella/layer-format";
import type { CallOptions, Digest } from "@lamella/refs";

import type { Mount } from "./mount.js";

/**
 * - `active`: can be written to; named by a key, and gone once it is committed.
 * - `view`: shows its parent and cannot be committed.
 * - `committed`: never changes and can be a parent; named by a name. Keys and names are one space.
 */
export type SnapshotKind = "active" | "view" | "committed";

export type Labels = Readonly<Record<string, string>>;

export interface SnapshotInfo {
  readonly kind: SnapshotKind;
  /** The name of a committed snapshot, the key of another. */
  readonly name: string;
  /** The name of a committed snapshot; undefined for one on nothing. */
  readonly parent: string | undefined;
  readonly labels: Labels;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What a snapshot takes up itself, without its parents. A file of several names counts once. */
export interface Usage {
  readonly bytes: number;
  readonly inodes: number;
}

export interface SnapshotOptions extends CallOptions {
  labels?: Labels | undefined;
}

export interface CommitOptions extends SnapshotOptions {
  /** The parent of a snapshot that was prepared on none. */
  parent?: string | undefined;
}

export interface WalkOptions extends CallOptions {
  /**
   * A snapshot is given if one of the filters matches: conditions joined by commas, all of which must hold. A condition is `field==value`, `field!=value`, `field~=regular expression` or
   * `field` (there and not empty); fields are `name`, `parent`, `kind` and `labels.NAME` or `labels."NAME"`; a value may be quoted.
   * Without filters every snapshot is given.
   */
  filters?: readonly string[] | undefined;
}

export interface ApplyOptions extends CallOptions {
  /** What the tar must have as its digest. Nothing is left of one that has another. */
  diffID?: Digest | undefined;
  /** The directory of an archive of this very layer, as `writeLayer` makes it: a driver may take that instead of reading the tar. */
  archive?: string | undefined;
}

export interface AppliedLayer {
  readonly diffID: Digest;
  /** Bytes of the tar. */
  readonly uncompressedSize: number;
}

/**
 * Snapshots of file systems, each the changes to its parent (containerd's core/snapshots). The life of a layer:
 *
 * - `prepare("extract-1", parent)` makes an active snapshot, which is changed by `apply` or through its mounts;
 * - `commit(chainID, "extract-1")` makes it committed under its name: the key is gone, and the next layer has its parent;
 * - `remove` takes away what has no children.
 *
 * Several processes may use one directory of snapshots at once. A process that is killed leaves at most what `cleanup` removes.
 *
 * Every call that names a snapshot throws {@link SnapshotError} `not_found` where there is none.
 */
export interface Snapshotter extends AsyncDisposable {
  /** @throws {SnapshotError} `already_exists`; `not_found` for the parent; `invalid_argument` for a parent that is not committed, or an empty key */
  prepare(key: string, parent?: string, options?: SnapshotOptions): Promise<readonly Mount[]>;
  /** As {@link Snapshotter.prepare}, to be read only. */
  view(key: string, parent?: string, options?: SnapshotOptions): Promise<readonly Mount[]>;
  /**
   * Makes an active snapshot a committed one. Its labels are those given here, and only those.
   * @throws {SnapshotError} `already_exists`; `failed_precondition` for a key that is not active
   */
  commit(name: string, key: string, options?: CommitOptions): Promise<void>;
  /** @throws {SnapshotError} `failed_precondition` for a committed snapshot */
  mounts(key: string, options?: CallOptions): Promise<readonly Mount[]>;
  stat(name: string, options?: CallOptions): Promise<SnapshotInfo>;
  /**
   * Sets labels. With field paths (`labels`, `labels.NAME`) only those are set, and an empty value removes a label; without, all labels become those given.
   * @throws {SnapshotError} `invalid_argument` for a field that cannot be set
   */
  update(
    name: string,
    change: { readonly labels: Labels },
    fieldPaths?: readonly string[],
    options?: CallOptions,
  ): Promise<SnapshotInfo>;
  usage(name: string, options?: CallOptions): Promise<Usage>;
  /** In the order of names. Other calls may be made on the way. @throws {SnapshotError} `invalid_argument` for a filter */
  walk(options?: WalkOptions): AsyncIterable<SnapshotInfo>;
  /** The name can be used again at once. @throws {SnapshotError} `failed_precondition` where it has children */
  remove(name: string, options?: CallOptions): Promise<void>;
  /** Removes what killed processes have left. It can run at any time, beside everything else. */
  cleanup(options?: CallOptions): Promise<void>;

  /** What the snapshot shows, its parents included. The caller closes the tree; an active snapshot must not change until then. */
  openTree(name: string, options?: CallOptions): Promise<FileTree>;
  /** What the snapshot changes of its parent, where that is known without comparing; its diffID stands for no tar. As with {@link Snapshotter.openTree} the caller closes it. */
  openChanges?(name: string, options?: CallOptions): Promise<Layer>;
  /**
   * Lays a layer's uncompressed tar on an active snapshot (OCI image-spec, layer.md, "Applying Changesets"), whole or not at all.
   * @throws {SnapshotError} `failed_precondition` for a key that is not active; {@link RefsError} `digest_mismatch`; {@link LayerFormatError} for a bad tar
   */
  apply(key: string, tar: AsyncIterable<Uint8Array>, options?: ApplyOptions): Promise<AppliedLayer>;
  /** Does work while no other call, in this process or another one, does any under the same name. One that waits goes on when the holder ends or dies. */
  exclusively<Result>(name: string, work: () => Promise<Result>, options?: CallOptions): Promise<Result>;
}
