import { rm } from "node:fs/promises";

import { createDigester, digestAlgorithm } from "@lamella/refs";
import type { CallOptions, Digest } from "@lamella/refs";

import type { CheckedStore, Fault } from "./check-fault.js";
import { isErrno } from "./durable.js";
import { ImageStoreError } from "./errors.js";
import { storedBlobs } from "./gc-files.js";
import { fileIdentity } from "./layout-index.js";

/** Reads every blob to its end. */
export async function* checkBlobs(store: CheckedStore, options: CallOptions): AsyncGenerator<Fault> {
  const { content } = store;
  for await (const { ref: digest, path } of storedBlobs(content, options)) {
    const identity = await fileIdentity(path);
    const problem = await problemOf(store, digest, options);
    if (problem === undefined || identity === undefined) continue;
    yield {
      kind: "blob_damaged",
      subject: digest,
      problem,
      repair: () => dropBlob(store, { digest, path, identity }, options),
    };
  }
}

async function problemOf({ content }: CheckedStore, digest: Digest, options: CallOptions): Promise<string | undefined> {
  const digester = createDigester(digestAlgorithm(digest));
  try {
    const bytes = content.readRange(digest, 0, Number.POSITIVE_INFINITY, options);
    for await (const chunk of bytes) digester.update(chunk);
  } catch (error) {
    // removed since it was listed
    if (error instanceof ImageStoreError && error.code === "not_found") return undefined;
    if (error instanceof ImageStoreError || isErrno(error, "EIO")) return (error as Error).message;
    throw error;
  }
  const found = digester.digest();
  return found === digest ? undefined : `its bytes have the digest ${found}`;
}

interface DamagedBlob {
  readonly digest: Digest;
  readonly path: string;
  readonly identity: string;
}

/** The images that have it are no longer whole: their rows go first. */
async function dropBlob(
  { database }: CheckedStore,
  { digest, path, identity }: DamagedBlob,
  options: CallOptions,
): Promise<string> {
  return database.write(async (queries) => {
    if ((await fileIdentity(path)) !== identity) return "left, as it was replaced meanwhile";
    await queries
      .deleteFrom("images")
      .where(({ or, eb, selectFrom }) =>
        or([
          eb("manifest_digest", "=", digest),
          eb("config_digest", "=", digest),
          eb(
            "manifest_digest",
            "in",
            selectFrom("image_layers").select("image_layers.manifest_digest").where("digest", "=", digest),
          ),
        ]),
      )
      .execute();
    await rm(path, { recursive: true, force: true });
    return "dropped; the next pull brings it";
  }, options);
}
