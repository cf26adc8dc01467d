import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { type CallOptions, type Descriptor, MAX_DOCUMENT_BYTES, quote } from "@lamella/refs";

import { isErrno, replaceFile } from "./durable-file.js";
import { OciClientError } from "./errors.js";
import { EMPTY_INDEX, LAYOUT_FILE, withManifest, withoutName } from "./layout-index-document.js";
import { readPlainFile } from "./plain-file.js";

const LOCK_WAIT_MS = 10_000;
/** An update takes milliseconds: a lock of this age was left by a process that died. */
const LOCK_STALE_MS = 5_000;

/**
 * Lists a manifest in the `index.json` of an OCI layout (image-spec, image-layout.md) under a name, which another manifest loses; without a
 * name it is listed only if it was not. What else is listed stays, whoever writes at the same time. A missing index is made.
 *
 * @throws {OciClientError} `busy` when the index stays locked for ten seconds; `layout_invalid`, `too_large`
 * @throws {RefsError} `document_invalid` for an index that is none
 */
export async function addToLayoutIndex(
  directory: string,
  { name, descriptor }: { name: string | undefined; descriptor: Descriptor },
  options: CallOptions = {},
): Promise<void> {
  await updateIndex(directory, (index) => withManifest(index, descriptor, name), options);
}

/** Lists no manifest under this name any more; none at all is a success. Throws as {@link addToLayoutIndex} does. */
export async function removeFromLayoutIndex(directory: string, name: string, options: CallOptions = {}): Promise<void> {
  await updateIndex(directory, (index) => withoutName(index, name), options);
}

/** Makes the two files of an OCI layout where they are missing. */
export async function makeLayoutFiles(directory: string, options: CallOptions): Promise<void> {
  await locked(directory, options, async () => {
    if ((await readIfThere(directory, "index.json", options)) === undefined) {
      await replaceFile(join(directory, "index.json"), EMPTY_INDEX);
    }
    if ((await readIfThere(directory, "oci-layout", options)) === undefined) {
      await replaceFile(join(directory, "oci-layout"), LAYOUT_FILE);
    }
  });
}

async function updateIndex(
  directory: string,
  change: (index: Uint8Array) => Uint8Array,
  options: CallOptions,
): Promise<void> {
  await locked(directory, options, async () => {
    const index = (await readIfThere(directory, "index.json", options)) ?? EMPTY_INDEX;
    await replaceFile(join(directory, "index.json"), change(index));
  });
}

async function readIfThere(directory: string, name: string, options: CallOptions): Promise<Uint8Array | undefined> {
  try {
    return await readPlainFile(join(directory, name), MAX_DOCUMENT_BYTES, options);
  } catch (error) {
    if (error instanceof OciClientError && error.code === "not_found") return undefined;
    throw error;
  }
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
