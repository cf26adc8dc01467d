import { lstat, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";

import { type CallOptions, type Descriptor, digestAlgorithm, digestOf, isDigest, quote } from "@lamella/refs";

import { createDurableFile, isErrno, makeDirectory, temporaryName } from "./durable-file.js";
import type { PushOptions } from "./blob-upload.js";
import { OciClientError } from "./errors.js";
import type { ImageSink } from "./image-sink.js";
import { addToLayoutIndex, makeLayoutFiles } from "./layout-index.js";
import { blobPath } from "./layout-reader.js";
import { type OciLayout, openOciLayout } from "./oci-layout.js";
import { letGo, openVerified, type PushContent } from "./push.js";

/** An OCI layout in a directory that can be written to. Nothing is kept open between calls, so there is nothing to close. */
export interface WritableOciLayout extends OciLayout, ImageSink {
  /**
   * Verified and synced before it is there; others never see a part. A blob that is there with its size is not written again.
   * May be called for several blobs at once.
   */
  push(descriptor: Descriptor, content: PushContent, options?: PushOptions): Promise<void>;
  /**
   * Writes a manifest and lists it in `index.json` under a name, which another manifest loses; a digest lists it without a name. What
   * else is listed stays, whoever writes at the same time.
   *
   * @throws {OciClientError} `busy` when the index stays locked for ten seconds; `rejected` for a digest that is not the manifest's
   */
  pushManifest(
    name: string,
    manifest: { bytes: Uint8Array; mediaType: string },
    options?: CallOptions,
  ): Promise<Descriptor>;
}

/**
 * Opens an OCI layout to write to, and makes it where there is nothing or an empty directory.
 * @throws {OciClientError} `layout_invalid` for a directory that holds something else, and as {@link openOciLayout} does
 */
export async function createOciLayout(directory: string, options: CallOptions = {}): Promise<WritableOciLayout> {
  options.signal?.throwIfAborted();
  await initialize(directory, options);
  const layout = await openOciLayout(directory, options);

  async function push(descriptor: Descriptor, content: PushContent, options: PushOptions): Promise<void> {
    options.signal?.throwIfAborted();
    const path = join(directory, blobPath(descriptor.digest));
    if (await isThere(path, descriptor.size)) return letGo(content);
    await makeDirectory(dirname(path));
    await writeFile(directory, path, openVerified(descriptor, content, { ...options, isLent: true }));
  }

  return {
    ...layout,
    push: async (descriptor, content, options = {}) => push(descriptor, content, options),
    async pushManifest(name, { bytes, mediaType }, options = {}) {
      const digest = digestOf(bytes, isDigest(name) ? digestAlgorithm(name) : "sha256");
      if (isDigest(name) && name !== digest) {
        const state = `the digest of the manifest is ${digest}`;
        throw new OciClientError("rejected", `cannot write ${quote(name)} to ${quote(directory)}: ${state}`);
      }
      const descriptor = { mediaType, digest, size: bytes.byteLength };
      await push(descriptor, once(bytes), options);
      await addToLayoutIndex(directory, { name: isDigest(name) ? undefined : name, descriptor }, options);
      return descriptor;
    },
  };
}

/** What a layout that is just being made holds already. */
const OWN_FILE = /^(?:index\.json(?:\.lock)?|\.ingest\..*\.tmp)$/;

async function initialize(directory: string, options: CallOptions): Promise<void> {
  await makeDirectory(directory);
  const names = await readdir(directory);
  if (names.includes("oci-layout") && names.includes("index.json")) return;
  if (!names.includes("oci-layout") && names.some((name) => !OWN_FILE.test(name))) {
    const message = `cannot write OCI layout ${quote(directory)}: the directory holds other files`;
    throw new OciClientError("layout_invalid", message);
  }
  await makeLayoutFiles(directory, options);
}

async function writeFile(directory: string, path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  await using file = await createDurableFile(temporaryName(join(directory, ".ingest")));
  for await (const chunk of content) await file.write(chunk);
  await file.publish(path);
}

async function isThere(path: string, size: number): Promise<boolean> {
  try {
    const found = await lstat(path);
    return found.isFile() && found.size === size;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
