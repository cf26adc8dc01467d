import type { Descriptor, Digest } from "@lamella/refs";

import { RegistryError } from "./errors.js";
import type { BlobStorage, ManifestStorage, Page, RegistryStorage } from "./storage.js";
import type { UploadSink } from "./upload-session.js";
import { createUploadSessions } from "./upload-sessions.js";

export interface MemoryStorageOptions {
  /** Bytes of blobs and uploads together; beyond them is `storage_full`. 256 MiB if not given. */
  readonly maxBytes?: number;
  /** Uploads open at once, 256 if not given. */
  readonly maxUploads?: number;
}

/** A storage that forgets: for tests and examples. It has every capability. */
export function memoryStorage(options: MemoryStorageOptions = {}): RegistryStorage {
  const { maxBytes = 256 << 20, maxUploads = 256 } = options;
  const content = new Map<Digest, Uint8Array>();
  let held = 0;

  function openSink(): UploadSink {
    const chunks: Uint8Array[] = [];
    let size = 0;
    return {
      async write(bytes) {
        if (held + bytes.length > maxBytes) {
          throw new RegistryError("storage_full", `cannot take ${bytes.length} bytes: ${held} of ${maxBytes} are used`);
        }
        chunks.push(bytes.slice());
        size += bytes.length;
        held += bytes.length;
      },
      async *read() {
        yield* chunks;
      },
      async commit(digest) {
        if (content.has(digest)) held -= size;
        else content.set(digest, joined(chunks, size));
      },
      async discard() {
        held -= size;
      },
    };
  }

  const blobs: BlobStorage = {
    async stat(digest, call = {}) {
      call.signal?.throwIfAborted();
      return content.get(digest)?.length;
    },
    async *read(digest, { offset, length, signal }) {
      signal?.throwIfAborted();
      const bytes = content.get(digest);
      if (bytes === undefined) throw new RegistryError("blob_unknown", `cannot read blob ${digest}: not in memory`);
      yield bytes.slice(offset, offset + length);
    },
    async delete(digest, call = {}) {
      call.signal?.throwIfAborted();
      held -= content.get(digest)?.length ?? 0;
      return content.delete(digest);
    },
  };
  const uploads = createUploadSessions({ open: async () => openSink(), maxUploads });
  return { blobs, uploads, manifests: memoryManifests() };
}

interface Repository {
  readonly manifests: Map<string, Descriptor>;
  readonly tags: Map<string, Descriptor>;
}

function memoryManifests(): ManifestStorage {
  const repositories = new Map<string, Repository>();
  return {
    async resolve(name, reference, call = {}) {
      call.signal?.throwIfAborted();
      const repository = repositories.get(name);
      return repository?.manifests.get(reference) ?? repository?.tags.get(reference);
    },
    async put(name, manifest, { tag, signal } = {}) {
      signal?.throwIfAborted();
      const repository = repositories.get(name) ?? { manifests: new Map(), tags: new Map() };
      repositories.set(name, repository);
      repository.manifests.set(manifest.digest, manifest);
      if (tag !== undefined) repository.tags.set(tag, manifest);
    },
    async delete(name, reference, call = {}) {
      call.signal?.throwIfAborted();
      const repository = repositories.get(name);
      if (repository === undefined) return false;
      if (repository.tags.delete(reference)) return true;
      for (const [tag, { digest }] of repository.tags) if (digest === reference) repository.tags.delete(tag);
      const deleted = repository.manifests.delete(reference);
      if (repository.manifests.size === 0) repositories.delete(name);
      return deleted;
    },
    async tags(name, page) {
      page.signal?.throwIfAborted();
      const repository = repositories.get(name);
      return repository === undefined ? undefined : pageOf([...repository.tags.keys()], page);
    },
    async repositories(page) {
      page.signal?.throwIfAborted();
      return pageOf([...repositories.keys()], page);
    },
  };
}

function pageOf(names: string[], { after = "", limit }: Page): string[] {
  return names
    .filter((name) => name > after)
    .sort()
    .slice(0, limit);
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
