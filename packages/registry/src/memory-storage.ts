import { isDigest } from "@lamella/refs";
import type { Descriptor, Digest } from "@lamella/refs";

import { joined } from "./body.js";
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

/** A storage that forgets: for tests and examples. It has every capability, and blobs are each repository's own. */
export function memoryStorage(options: MemoryStorageOptions = {}): RegistryStorage {
  const { maxBytes = 256 << 20, maxUploads = 256 } = options;
  const content = new Map<Digest, { readonly bytes: Uint8Array; readonly owners: Set<string> }>();
  let held = 0;

  function find(repository: string, digest: Digest): Uint8Array | undefined {
    const blob = content.get(digest);
    return blob?.owners.has(repository) === true ? blob.bytes : undefined;
  }

  function openSink(repository: string): UploadSink {
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
        const known = content.get(digest);
        if (known === undefined) {
          content.set(digest, { bytes: joined(chunks, size), owners: new Set([repository]) });
        } else {
          held -= size;
          known.owners.add(repository);
        }
      },
      async discard() {
        held -= size;
      },
    };
  }

  const blobs: BlobStorage = {
    async stat(repository, digest, call = {}) {
      call.signal?.throwIfAborted();
      return find(repository, digest)?.length;
    },
    async *read(repository, digest, { offset, length, signal }) {
      signal?.throwIfAborted();
      const bytes = find(repository, digest);
      if (bytes === undefined) throw new RegistryError("blob_unknown", `cannot read blob ${digest}: not in memory`);
      yield bytes.slice(offset, offset + length);
    },
    async mount(repository, digest, { from, signal }) {
      signal?.throwIfAborted();
      const owners = content.get(digest)?.owners;
      if (owners === undefined || (from !== undefined && !owners.has(from))) return false;
      owners.add(repository);
      return true;
    },
    async delete(repository, digest, call = {}) {
      call.signal?.throwIfAborted();
      const blob = content.get(digest);
      if (blob === undefined || !blob.owners.delete(repository)) return false;
      if (blob.owners.size > 0) return true;
      held -= blob.bytes.length;
      return content.delete(digest);
    },
  };
  const uploads = createUploadSessions({ open: async (repository) => openSink(repository), maxUploads });
  return { blobs, uploads, manifests: memoryManifests() };
}

interface Repository {
  readonly manifests: Map<string, Descriptor>;
  readonly subjects: Map<Digest, Digest>;
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
    async put(name, manifest, { tag, subject, signal } = {}) {
      signal?.throwIfAborted();
      const repository = repositories.get(name) ?? { manifests: new Map(), subjects: new Map(), tags: new Map() };
      repositories.set(name, repository);
      repository.manifests.set(manifest.digest, manifest);
      if (subject !== undefined) repository.subjects.set(manifest.digest, subject);
      if (tag !== undefined) repository.tags.set(tag, manifest);
    },
    async delete(name, reference, call = {}) {
      call.signal?.throwIfAborted();
      const repository = repositories.get(name);
      if (repository === undefined) return false;
      if (repository.tags.delete(reference)) return true;
      for (const [tag, { digest }] of repository.tags) if (digest === reference) repository.tags.delete(tag);
      const deleted = repository.manifests.delete(reference);
      if (isDigest(reference)) repository.subjects.delete(reference);
      if (repository.manifests.size === 0) repositories.delete(name);
      return deleted;
    },
    async referrers(name, subject, page) {
      page.signal?.throwIfAborted();
      const subjects = [...(repositories.get(name)?.subjects ?? [])];
      return pageOf(
        subjects.filter(([, of]) => of === subject).map(([digest]) => digest),
        page,
      );
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

function pageOf<Name extends string>(names: Name[], { after = "", limit }: Page): Name[] {
  return names
    .filter((name) => name > after)
    .sort()
    .slice(0, limit);
}
