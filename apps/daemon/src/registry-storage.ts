import { createReadStream } from "node:fs";

import type { ContentStore } from "@lamella/image-store";
import type { Descriptor } from "@lamella/refs";
import { createUploadSessions, RegistryError } from "@lamella/registry";
import type { BlobStorage, ManifestStorage, Page, RegistryStorage, UploadSink } from "@lamella/registry";

/** Disposing of it discards the uploads that have not ended. The store is left as it is. */
export interface StoreRegistryStorage extends RegistryStorage, AsyncDisposable {}

/**
 * A registry's storage in a content store. Blobs are the store's own, so what was pulled into it need not be pushed again;
 * they are not deleted here, for only the store knows what else refers to them. Manifests are names of the store under a
 * prefix that no image reference can have: pushing to the registry never moves the name of a pulled image.
 */
export function storeRegistryStorage(store: ContentStore): StoreRegistryStorage {
  const uploads = createUploadSessions({ open: () => openSink(store) });
  return {
    blobs: storeBlobs(store),
    uploads,
    manifests: storeManifests(store),
    [Symbol.asyncDispose]: () => uploads[Symbol.asyncDispose](),
  };
}

function storeBlobs(store: ContentStore): BlobStorage {
  return {
    stat: (digest, call) => store.stat(digest, call),
    read: (digest, { offset, length, signal }) => store.readRange(digest, offset, length, { signal }),
  };
}

async function openSink(store: ContentStore): Promise<UploadSink> {
  const ingest = await orStorageFull(() => store.ingest());
  return {
    write: (bytes) => orStorageFull(() => ingest.write(bytes)),
    read: (call = {}) => createReadStream(ingest.path, { highWaterMark: 1 << 20, signal: call.signal }),
    commit: (digest) => orStorageFull(() => ingest.commit(digest)),
    discard: async () => ingest[Symbol.asyncDispose](),
  };
}

async function orStorageFull<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isForWantOfRoom(error)) throw error;
    throw new RegistryError("storage_full", "cannot store the upload: no space is left", { cause: error });
  }
}

function isForWantOfRoom(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error ? error.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT" || isForWantOfRoom(error.cause);
}

/** Every normalised image reference begins with a host, which has a dot or a colon or is `localhost`. */
const PREFIX = "lamellad/";

function storeManifests({ names }: ContentStore): ManifestStorage {
  return {
    async resolve(repository, reference, call) {
      return (await names.list(call)).get(nameOf(repository, reference));
    },
    async put(repository, manifest, { tag, signal } = {}) {
      const known = await names.list({ signal });
      for (const reference of tag === undefined ? [manifest.digest] : [manifest.digest, tag]) {
        const name = nameOf(repository, reference);
        if (known.get(name)?.digest !== manifest.digest) await names.set(name, manifest, { signal });
      }
    },
    async delete(repository, reference, call) {
      const all = await names.list(call);
      const name = nameOf(repository, reference);
      if (!all.has(name)) return false;
      if (reference.includes(":")) {
        for (const [other, { digest }] of entriesOf(repository, all)) {
          if (digest === reference && other !== name) await names.remove(other, call);
        }
      }
      await names.remove(name, call);
      return true;
    },
    async tags(repository, page) {
      const entries = entriesOf(repository, await names.list(page));
      if (entries.length === 0) return undefined;
      const tagPrefix = nameOf(repository, "");
      const tags = entries.filter(([name]) => name.startsWith(tagPrefix)).map(([name]) => name.slice(tagPrefix.length));
      return pageOf(tags, page);
    },
    async repositories(page) {
      const found = new Set<string>();
      for (const name of (await names.list(page)).keys()) {
        if (name.startsWith(PREFIX)) found.add(name.slice(PREFIX.length).replace(/[:@].*$/, ""));
      }
      return pageOf([...found], page);
    },
  };
}

/** `lamellad/app:v1` and `lamellad/app@sha256:…`. */
function nameOf(repository: string, reference: string): string {
  return `${PREFIX}${repository}${reference.includes(":") ? "@" : ":"}${reference}`;
}

function entriesOf(repository: string, names: ReadonlyMap<string, Descriptor>): [string, Descriptor][] {
  const prefix = `${PREFIX}${repository}`;
  return [...names].filter(([name]) => name.startsWith(`${prefix}:`) || name.startsWith(`${prefix}@`));
}

function pageOf(names: string[], { after = "", limit }: Page): string[] {
  return names
    .filter((name) => name > after)
    .sort()
    .slice(0, limit);
}
