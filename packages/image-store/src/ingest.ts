import { randomUUID } from "node:crypto";
import { mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { Digest } from "@lamella/refs";

import { publishFile } from "./durable.js";

/**
 * Bytes on their way into the store. Nothing of an ingest is visible before `commit`; one that is disposed of without it
 * leaves nothing. The caller verifies the bytes against the digest that it commits them as.
 */
export interface Ingest extends AsyncDisposable {
  /** Where the bytes are until they are committed. */
  readonly path: string;
  readonly size: number;
  write(bytes: Uint8Array): Promise<void>;
  /** Syncs the bytes and makes them the blob of this digest. A blob that is there already is replaced by its equal. */
  commit(digest: Digest): Promise<void>;
}

export async function createIngest(directory: string, blobPath: (digest: Digest) => string): Promise<Ingest> {
  const path = join(directory, randomUUID());
  const handle = await open(path, "wx", 0o644);
  let size = 0;
  let state: "open" | "committed" | "gone" = "open";
  return {
    path,
    get size() {
      return size;
    },
    async write(bytes) {
      let done = 0;
      while (done < bytes.length)
        done += (await handle.write(bytes, done, bytes.length - done, size + done)).bytesWritten;
      size += bytes.length;
    },
    async commit(digest) {
      await handle.sync();
      await mkdir(dirname(blobPath(digest)), { recursive: true });
      await publishFile(path, blobPath(digest));
      state = "committed";
      await handle.close();
    },
    async [Symbol.asyncDispose]() {
      if (state !== "open") return;
      state = "gone";
      await handle.close().finally(() => rm(path, { force: true }));
    },
  };
}
