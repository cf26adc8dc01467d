import { open, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { isDigest, OCI_INDEX, parseIndex } from "@lamella/refs";
import type { CallOptions, Descriptor, Resolver } from "@lamella/refs";

import { isErrno, replaceFile } from "./durable.js";
import { ImageStoreError } from "./errors.js";

const NAME = "org.opencontainers.image.ref.name";
const LOCK_WAIT_MS = 10_000;
/** An update takes milliseconds: a lock of this age was left by a process that died. */
const LOCK_STALE_MS = 5_000;

/** The names of a store: `index.json` of its OCI layout (image-spec, image-layout.md), each name once. */
export interface LayoutIndex extends Resolver {
  /** By name, as they stand now. */
  list(options?: CallOptions): Promise<ReadonlyMap<string, Descriptor>>;
  /** Sets a name, atomically; other names are left alone, whoever sets them at the same time. Throws `busy`. */
  set(name: string, descriptor: Descriptor, options?: CallOptions): Promise<void>;
  /** Removes a name; one that is not there is a success. */
  remove(name: string, options?: CallOptions): Promise<void>;
}

export async function createLayoutIndex(directory: string): Promise<LayoutIndex> {
  const path = join(directory, "index.json");
  const lock = `${path}.lock`;
  const layout = join(directory, "oci-layout");
  const version = await readIfThere(layout);
  if (version === undefined)
    await replaceFile(`${layout}.tmp-${process.pid}`, layout, '{"imageLayoutVersion":"1.0.0"}\n');
  else checkVersion(directory, version);

  async function read(): Promise<Descriptor[]> {
    const text = await readIfThere(path);
    return text === undefined ? [] : [...parseIndex(text).manifests];
  }

  /** The new file is the lock while it is being written, and renaming it both publishes and unlocks. */
  async function update(change: (manifests: Descriptor[]) => Descriptor[], signal?: AbortSignal): Promise<void> {
    await takeLock(lock, signal);
    try {
      const manifests = change(await read());
      const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
      await replaceFile(lock, path, `${JSON.stringify(index)}\n`);
    } catch (error) {
      await rm(lock, { force: true });
      throw error;
    }
  }

  const nameOf = (descriptor: Descriptor): string | undefined => descriptor.annotations?.[NAME];
  const index: LayoutIndex = {
    async list(options = {}) {
      options.signal?.throwIfAborted();
      const named = (await read()).map((descriptor) => [nameOf(descriptor), descriptor] as const);
      return new Map(named.filter((pair): pair is [string, Descriptor] => pair[0] !== undefined));
    },
    async resolve(name, options) {
      const names = await index.list(options);
      const found = isDigest(name) ? [...names.values()].find(({ digest }) => digest === name) : names.get(name);
      if (found === undefined) throw new ImageStoreError("not_found", `cannot resolve ${name}: not in the store`);
      return found;
    },
    async set(name, descriptor, options = {}) {
      options.signal?.throwIfAborted();
      const entry = { ...descriptor, annotations: { ...descriptor.annotations, [NAME]: name } };
      await update((manifests) => [...manifests.filter((other) => nameOf(other) !== name), entry], options.signal);
    },
    async remove(name, options = {}) {
      options.signal?.throwIfAborted();
      await update((manifests) => manifests.filter((other) => nameOf(other) !== name), options.signal);
    },
  };
  return index;
}

async function takeLock(lock: string, signal: AbortSignal | undefined): Promise<void> {
  const deadline = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      await (await open(lock, "wx")).close();
      return;
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
    const age = await stat(lock).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    );
    if (age > LOCK_STALE_MS) await rm(lock, { force: true });
    else if (Date.now() > deadline) throw new ImageStoreError("busy", `cannot lock ${lock}: held by another process`);
    else await sleep(5 + Math.random() * 20, undefined, { signal });
  }
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function checkVersion(directory: string, file: Uint8Array): void {
  const text = new TextDecoder().decode(file);
  if (/^\s*\{[^}]*"imageLayoutVersion"\s*:\s*"1\.0\.0"/.test(text)) return;
  throw new ImageStoreError("store_invalid", `cannot open ${directory}: oci-layout is not of version 1.0.0`);
}
