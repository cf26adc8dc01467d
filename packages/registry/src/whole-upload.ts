import type { CallOptions, Digest } from "@lamella/refs";

import { RegistryError } from "./errors.js";
import type { Upload } from "./storage.js";

export interface WriteUploadOptions extends CallOptions {
  readonly digest: Digest;
}

/** Fills a new upload and commits it. Nobody knows its identifier, so a failure drops it. */
export async function writeUpload(
  upload: Upload,
  bytes: AsyncIterable<Uint8Array>,
  options: WriteUploadOptions,
): Promise<void> {
  const { digest, signal } = options;
  try {
    await upload.append(bytes, { offset: 0, signal });
    await upload.commit(digest, { signal });
  } catch (error) {
    await dropUpload(upload);
    throw error;
  }
}

/** The failure may have ended it already. */
async function dropUpload(upload: Upload): Promise<void> {
  try {
    await upload.abort();
  } catch (error) {
    if (!(error instanceof RegistryError && error.code === "upload_unknown")) throw error;
  }
}
