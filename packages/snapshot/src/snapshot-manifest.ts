import type { FileTree, Layer } from "@lamella/layer-format";
import type { CallOptions, Digest } from "@lamella/refs";

/** What a build cache keeps under a key: the layers of which a step's result is made, and how it goes on from there. */
export interface SnapshotManifest {
  /** DiffIDs, base first. None: an empty file system. */
  readonly layers: readonly Digest[];
  /** Whatever else the result is: an image's config, its base, its platform. Kept as JSON says it. */
  readonly config?: unknown;
}

export interface CachedSnapshot extends SnapshotManifest {
  readonly key: Digest;
  readonly savedAt: Date;
}

export interface CachedPrefix extends CachedSnapshot {
  /** The place of the key in the list that was asked for. */
  readonly index: number;
}

export interface SaveOptions extends CallOptions {
  /** The directory of an archive of a layer, as `writeLayer` makes it: is asked for those that the cache does not have. */
  archive?(diffID: Digest): Promise<string | undefined>;
}

/**
 * Results of build steps by key (see `deriveKey`), and the archives of the layers that they share. Any number of processes may use one directory.
 *
 * A manifest is saved and deleted whole or not at all, and its layers are there as long as it is. A layer goes with the last manifest that names it;
 * a process that is killed leaves at most what `cleanup` removes.
 */
export interface BuildCache extends AsyncDisposable {
  /**
   * Keeps a manifest under a key, instead of an earlier one. Layers that are new are linked from their archives, or copied across file systems.
   * @throws {SnapshotError} `not_found` for a layer that is neither in the cache nor given; `layer_mismatch` for an archive of another layer;
   * `invalid_argument` for a config that is not JSON
   */
  save(key: Digest, manifest: SnapshotManifest, options?: SaveOptions): Promise<void>;
  /** @throws {SnapshotError} `not_found` */
  load(key: Digest, options?: CallOptions): Promise<CachedSnapshot>;
  exists(key: Digest, options?: CallOptions): Promise<boolean>;
  /** In the order in which they were saved. */
  list(options?: CallOptions): AsyncIterable<CachedSnapshot>;
  /** Deleting what is not there is a success. */
  delete(key: Digest, options?: CallOptions): Promise<void>;
  /** The last of the keys that is there: how far a chain of operations has been done before. One query, however many keys. */
  longestPrefix(keys: readonly Digest[], options?: CallOptions): Promise<CachedPrefix | undefined>;

  /** The directory of a layer's archive, which is there as long as a manifest names it; undefined for a layer that the cache does not have. An `Applier` may use it. */
  archive(diffID: Digest, options?: CallOptions): Promise<string | undefined>;
  /** Opens a layer's archive, which the caller closes; deleting its manifests does no harm to it then. @throws {SnapshotError} `not_found` */
  openLayer(diffID: Digest, options?: CallOptions): Promise<Layer>;
  /** The file system of a key; the caller closes it. @throws {SnapshotError} `not_found` */
  openTree(key: Digest, options?: CallOptions): Promise<FileTree>;
  /** Removes what killed processes have left. It can run at any time, beside everything else. */
  cleanup(options?: CallOptions): Promise<void>;
}
