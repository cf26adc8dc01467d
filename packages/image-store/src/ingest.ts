import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { CallOptions, Digest } from "@lamella/refs";

import { publishFile } from "./durable.js";
import { fileChunks } from "./file-chunks.js";
import { claimAbandonedPart, newPartName, releasedPartName } from "./ingest-claim.js";

/**
 * Bytes on their way into the store. Nothing of an ingest is visible before `commit`; one that is disposed of without it
 * leaves nothing, unless it was released. The caller verifies the bytes against the digest that it commits them as.
 */
export interface Ingest extends AsyncDisposable {
  /** Where the bytes are until they are committed. */
  readonly path: string;
  /** How many there are; more than 0 at the start of one that takes up what another has left. */
  readonly size: number;
  write(bytes: Uint8Array): Promise<void>;
  /** The bytes that there are now. */
  read(options?: CallOptions): AsyncIterable<Uint8Array>;
  /** Forgets the bytes and begins anew. */
  restart(): Promise<void>;
  /** Syncs the bytes and makes them the blob of this digest. A blob that is there already is replaced by its equal. */
  commit(digest: Digest): Promise<void>;
  /** Ends the ingest and leaves its bytes to the next one of the same digest, here or in another process. */
  release(): Promise<void>;
}

/** Where an ingest works and where its blob goes. */
export interface IngestPlaces {
  readonly directory: string;
  blobPath(digest: Digest): string;
}

/**
 * Begins a blob. Where its digest is known, the bytes that a dead process or a released ingest has left of it are
 * taken up: they are not verified.
 */
export async function createIngest(places: IngestPlaces, digest?: Digest): Promise<Ingest> {
  const { directory, blobPath } = places;
  const name = await newPartName(digest);
  const path = join(directory, name);
  const resumed = digest !== undefined && (await claimAbandonedPart(directory, digest, name));
  const release = (): Promise<void> => rename(path, join(directory, releasedPartName(name)));
  const handle = await open(path, resumed ? "r+" : "wx", 0o644).catch(async (error: unknown) => {
    if (resumed) await release();
    throw error;
  });
  let size = resumed ? (await handle.stat()).size : 0;
  let ended = false;
  return {
    path,
    get size() {
      return size;
    },
    async write(bytes) {
      let done = 0;
      while (done < bytes.length) {
        done += (await handle.write(bytes, done, bytes.length - done, size + done)).bytesWritten;
      }
      size += bytes.length;
    },
    read: (options) => fileChunks(handle, { start: 0, end: size, what: path, ...options }),
    async restart() {
      await handle.truncate();
      size = 0;
    },
    async commit(committed) {
      await handle.sync();
      await mkdir(dirname(blobPath(committed)), { recursive: true });
      await publishFile(path, blobPath(committed));
      ended = true;
      await handle.close();
    },
    async release() {
      ended = true;
      await handle.close();
      if (digest === undefined || size === 0) await rm(path, { force: true });
      else await release();
    },
    async [Symbol.asyncDispose]() {
      if (ended) return;
      ended = true;
      await handle.close().finally(() => rm(path, { force: true }));
    },
  };
}
