import type { CallOptions, Descriptor, Digest } from "@lamella/refs";

/**
 * What a registry keeps its content in.
 *
 * A repository is its manifests, its tags and its blobs; it begins with its first manifest and ends with its last. Blobs may be each
 * repository's own, or one pool in which every repository finds what was pushed to any: that is up to the storage. Where they are a
 * pool, whoever may read one repository reads every blob whose digest they know.
 *
 * The life of an image: each blob is begun as an upload, appended to and committed, or mounted; then its manifest is stored as a blob
 * too and `manifests.put` names it. Until then nothing can be seen of it, and from then on all of it can.
 */
export interface RegistryStorage {
  readonly blobs: BlobStorage;
  readonly uploads: UploadStorage;
  readonly manifests: ManifestStorage;
}

/** Part of a blob: `offset` and `length` in bytes, inside the blob. */
export interface BlobRange extends CallOptions {
  offset: number;
  length: number;
}

export interface BlobStorage {
  /** The size in bytes of a blob of that repository, `undefined` where there is none. */
  stat(repository: string, digest: Digest, options?: CallOptions): Promise<number | undefined>;

  /**
   * Bytes of a blob, not verified; the chunks are the reader's own. Nothing is opened before the first chunk is asked for,
   * and what is open is closed when the iteration ends or is left. Throws `blob_unknown`.
   *
   * A `ReadableStream` becomes the response's body as it is: one of bytes (`type: "bytes"`) can fill the buffers of whoever sends it.
   */
  read(repository: string, digest: Digest, range: BlobRange): AsyncIterable<Uint8Array>;

  /** Makes a blob of one repository one of another too, atomically and without its bytes; false where there was none. */
  mount(repository: string, digest: Digest, options: MountOptions): Promise<boolean>;

  /**
   * Removes a blob from a repository, atomically, and from no other; false where there was none. A storage that removes only
   * what nothing refers to leaves this out, and the registry answers that deleting blobs is not supported.
   */
  delete?(repository: string, digest: Digest, options?: CallOptions): Promise<boolean>;
}

export interface MountOptions extends CallOptions {
  /** The repository that has it; any that has, if not given. */
  from?: string | undefined;
}

/** Uploads in progress. They may be lost when the storage is closed or when nobody has touched them for long. */
export interface UploadStorage {
  /** Opens an empty upload under an identifier that cannot be guessed. Throws `uploads_exhausted`. */
  begin(repository: string, options?: CallOptions): Promise<Upload>;

  /** An upload of that repository, `undefined` where there is none. */
  find(repository: string, id: string, options?: CallOptions): Promise<Upload | undefined>;
}

/** A blob on its way in. One call at a time: another that is made meanwhile throws `upload_busy` and changes nothing. */
export interface Upload {
  /** Characters that need no escaping in a URL. */
  readonly id: string;
  /** Bytes taken so far. */
  readonly size: number;

  /**
   * Takes bytes. `offset` must be `size`, else `range_invalid` and nothing is taken. Not atomic: when `bytes` throws or the
   * signal aborts, what had come stays, and `size` tells how much. When the storage itself fails the upload is gone;
   * `storage_full` if it was for want of room.
   */
  append(bytes: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<void>;

  /**
   * Makes the bytes the blob of this digest of the repository, durably and atomically; a blob that is there already is a success. The upload
   * is gone afterwards, also when it throws `digest_mismatch`; only an abort leaves it.
   */
  commit(digest: Digest, options?: CallOptions): Promise<void>;

  /** Drops the upload and its bytes. */
  abort(options?: CallOptions): Promise<void>;
}

export interface AppendOptions extends CallOptions {
  offset: number;
}

/** A listing's part: names after `after`, in byte order, at most `limit` of them. */
export interface Page extends CallOptions {
  after?: string | undefined;
  limit: number;
}

/** Manifests of repositories. `reference` is a tag or a digest; the two cannot be confused, for no tag has a colon. */
export interface ManifestStorage {
  resolve(repository: string, reference: string, options?: CallOptions): Promise<Descriptor | undefined>;

  /**
   * Enters a manifest, whose blob is there already, under its digest and, if `tag` is given, then under that. Repeating it
   * changes nothing. A reader sees each of the two names with its old or its new meaning.
   */
  put(repository: string, manifest: Descriptor, options?: PutManifestOptions): Promise<void>;

  /**
   * Removes a tag, or a digest and first of all the tags that point at it. False where there was none. The blob stays.
   */
  delete(repository: string, reference: string, options?: CallOptions): Promise<boolean>;

  /** Digests of the repository's manifests that were put with this subject, whether or not that exists; in byte order. */
  referrers(repository: string, subject: Digest, page: Page): Promise<readonly Digest[]>;

  /** `undefined` for a repository without manifests. */
  tags(repository: string, page: Page): Promise<readonly string[] | undefined>;

  repositories(page: Page): Promise<readonly string[]>;
}

export interface PutManifestOptions extends CallOptions {
  tag?: string | undefined;
  /** What the manifest says that it refers to; the same for every put of one manifest. */
  subject?: Digest | undefined;
}
