import { lstat, open, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import {
  type CallOptions,
  type Descriptor,
  digestAlgorithm,
  digestOf,
  isDigest,
  MAX_DOCUMENT_BYTES,
  quote,
} from "@lamella/refs";

import { createDurableFile, makeDirectory, temporaryName } from "./durable-file.js";
import type { PushOptions } from "./blob-upload.js";
import { OciClientError } from "./errors.js";
import type { ImageSink } from "./image-sink.js";
import { EMPTY_INDEX, LAYOUT_FILE, withManifest } from "./layout-index-document.js";
import { blobPath } from "./layout-reader.js";
import { type OciLayout, openOciLayout } from "./oci-layout.js";
import { readPlainFile } from "./plain-file.js";
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

const LOCK_WAIT_MS = 10_000;
/** An update takes milliseconds: a lock of this age was left by a process that died. */
const LOCK_STALE_MS = 5_000;

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
    await writeFile(directory, path, openVerified(descriptor, content, options));
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
      await updateIndex(directory, options, (index) =>
        withManifest(index, descriptor, isDigest(name) ? undefined : name),
      );
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
  await locked(directory, options, async () => {
    const present = await readdir(directory);
    if (!present.includes("index.json")) await writeFile(directory, join(directory, "index.json"), once(EMPTY_INDEX));
    if (!present.includes("oci-layout")) await writeFile(directory, join(directory, "oci-layout"), once(LAYOUT_FILE));
  });
}

async function updateIndex(
  directory: string,
  options: CallOptions,
  change: (index: Uint8Array) => Uint8Array,
): Promise<void> {
  const path = join(directory, "index.json");
  await locked(directory, options, async () => {
    const index = change(await readPlainFile(path, MAX_DOCUMENT_BYTES, options));
    await writeFile(directory, path, once(index));
  });
}

/** Only for writers: a reader sees the old index or the new. */
async function locked(directory: string, options: CallOptions, work: () => Promise<void>): Promise<void> {
  const lock = join(directory, "index.json.lock");
  await takeLock(lock, options);
  try {
    await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function takeLock(lock: string, { signal }: CallOptions): Promise<void> {
  const deadline = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await (await open(lock, "wx")).close();
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    const ageMs = await stat(lock).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    );
    if (ageMs > LOCK_STALE_MS) await rm(lock, { force: true });
    else if (Date.now() > deadline) {
      throw new OciClientError("busy", `cannot lock ${quote(lock)}: another process holds it`);
    } else await sleep(5 + Math.random() * 20);
  }
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

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
