import { lutimes, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { digestAlgorithm, digestHex, verifyContent } from "@lamella/refs";
import type { CallOptions, Descriptor, Digest, Fetcher, Pusher } from "@lamella/refs";

import { isErrno } from "./durable.js";
import { ImageStoreError } from "./errors.js";
import { fileChunks } from "./file-chunks.js";
import { createIngest } from "./ingest.js";
import type { Ingest } from "./ingest.js";
import { makeLayoutFile } from "./layout-index.js";
import { openBlobFile, openBlobOf } from "./open-blob.js";
import type { BlobFile, OpenBlob } from "./open-blob.js";

/**
 * The blobs of a store, as an OCI image layout has them (image-spec, image-layout.md).
 *
 * A blob is there whole or not at all, under its digest; the bytes of one are verified before it is committed and again
 * when it is fetched. Several processes may use one store at once.
 */
export interface ContentStore extends Fetcher, Pusher {
  readonly directory: string;
  /** Where the blob of a digest is or would be. */
  blobPath(digest: Digest): string;
  /** A blob's size in bytes; `undefined` where there is none. */
  stat(digest: Digest, options?: CallOptions): Promise<number | undefined>;
  /**
   * As `stat`, and makes the blob as young as one that was just written. For whoever relies on it and holds no lease: garbage collection
   * leaves it for its grace period.
   */
  touch(digest: Digest, options?: CallOptions): Promise<number | undefined>;
  /** Bytes of a blob, not verified; throws `not_found`. */
  readRange(digest: Digest, offset: number, length: number, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** Opens a blob for whoever brings the buffers; throws `not_found`. Removing the blob takes nothing from those who have it open. */
  open(digest: Digest, options?: CallOptions): Promise<OpenBlob>;
  /** Every blob, in no order. */
  blobs(options?: CallOptions): AsyncIterable<Digest>;
  /**
   * Begins a blob. Where its digest is given, what an ingest before it has left is taken up: `size` tells how much. Those bytes are
   * as unverified as all others.
   */
  ingest(digest?: Digest): Promise<Ingest>;
  /** Removes a blob. Removing what is not there is a success. */
  remove(digest: Digest): Promise<void>;
}

/** Opens the blobs of a store in a directory, which is made if need be. @throws {ImageStoreError} `store_invalid` */
export async function openContentStore(directory: string, options: CallOptions = {}): Promise<ContentStore> {
  options.signal?.throwIfAborted();
  const ingestDirectory = join(directory, "ingest");
  const blobDirectory = join(directory, "blobs");
  await mkdir(ingestDirectory, { recursive: true });
  await mkdir(join(blobDirectory, "sha256"), { recursive: true });
  await makeLayoutFile(directory);
  const blobPath = (digest: Digest): string => join(blobDirectory, digestAlgorithm(digest), digestHex(digest));

  async function openFile(digest: Digest, call: CallOptions): Promise<BlobFile> {
    call.signal?.throwIfAborted();
    const file = await openBlobFile(blobPath(digest));
    if (file === undefined) throw new ImageStoreError("not_found", `cannot read blob ${digest}: not in the store`);
    return file;
  }

  const store: ContentStore = {
    directory,
    blobPath,
    ingest: (digest) => createIngest({ directory: ingestDirectory, blobPath }, digest),

    async stat(digest, call = {}) {
      call.signal?.throwIfAborted();
      const blob = await openBlobFile(blobPath(digest));
      if (blob === undefined) return undefined;
      await blob.handle.close();
      return blob.size;
    },

    async touch(digest, call = {}) {
      call.signal?.throwIfAborted();
      const now = new Date();
      try {
        await lutimes(blobPath(digest), now, now);
      } catch (error) {
        if (isErrno(error, "ENOENT")) return undefined;
        throw error;
      }
      return store.stat(digest, call);
    },

    async *fetch(descriptor, call = {}) {
      const bytes = store.readRange(descriptor.digest, 0, Number.POSITIVE_INFINITY, call);
      yield* verifyContent(descriptor, bytes, call);
    },

    async *readRange(digest, offset, length, call = {}) {
      const blob = await openFile(digest, call);
      try {
        const end = Math.min(blob.size, offset + length);
        yield* fileChunks(blob.handle, { start: offset, end, what: `blob ${digest}`, ...call });
      } finally {
        await blob.handle.close();
      }
    },

    open: async (digest, call = {}) => openBlobOf(await openFile(digest, call), `blob ${digest}`),

    async *blobs(call = {}) {
      for (const algorithm of ["sha256", "sha384", "sha512"] as const) {
        call.signal?.throwIfAborted();
        for (const hex of await listDirectory(join(blobDirectory, algorithm))) yield `${algorithm}:${hex}`;
      }
    },

    async push(descriptor: Descriptor, content, call = {}) {
      if ((await store.touch(descriptor.digest, call)) === descriptor.size) return;
      const ingest = await store.ingest();
      try {
        for await (const chunk of verifyContent(descriptor, content, call)) await ingest.write(chunk);
        await ingest.commit(descriptor.digest);
      } finally {
        await ingest[Symbol.asyncDispose]();
      }
    },

    remove: (digest) => rm(blobPath(digest), { force: true }),
  };
  return store;
}

async function listDirectory(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
