import { createReadStream } from "node:fs";

import type { ContentStore, ImageStore, Tag } from "@lamella/image-store";
import { isDigest } from "@lamella/refs";
import type { CallOptions, Descriptor, Digest } from "@lamella/refs";
import { createUploadSessions, RegistryError } from "@lamella/registry";
import type { BlobStorage, ManifestStorage, Page, RegistryStorage, UploadSink } from "@lamella/registry";
import PQueue from "p-queue";

import { streamBlob } from "./blob-stream.js";

/** Disposing of it discards the uploads that have not ended. The store is left as it is. */
export interface StoreRegistryStorage extends RegistryStorage, AsyncDisposable {}

export interface RegistryStorageOptions {
  /** Is told of each tag that was put, also if it stands for what it stood for, before its client is. It does not reject. */
  readonly onTag?: ((repository: string, tag: string, digest: Digest) => Promise<void>) | undefined;
}

/**
 * A registry's storage in an image store. Blobs are the store's own, so what was pulled into it need not be pushed again;
 * they are not deleted here, for only the store knows what else refers to them. Manifests are names of the store under a
 * prefix that no image reference can have: pushing to the registry never moves the name of a pulled image.
 */
export function storeRegistryStorage(store: ImageStore, { onTag }: RegistryStorageOptions = {}): StoreRegistryStorage {
  const uploads = createUploadSessions({ open: () => openSink(store.content) });
  return {
    blobs: storeBlobs(store.content),
    uploads,
    manifests: storeManifests(store, onTag),
    [Symbol.asyncDispose]: () => uploads[Symbol.asyncDispose](),
  };
}

/**
 * So many chunks are read at once, whoever wants them. With one for each of hundreds of clients all others wait for the one thread that sends them: with 200 that pull, the
 * first answer to another took 14 s (measured), and pulls were hardly faster.
 */
const READS_AT_ONCE = 16;

function storeBlobs(store: ContentStore): BlobStorage {
  const reads = new PQueue({ concurrency: READS_AT_ONCE });
  return {
    // a client that is told of a blob does not send it, and names it in a manifest soon
    stat: (_, digest, call) => store.touch(digest, call),
    read: (_, digest, range) => streamBlob({ ...range, content: store, digest, turns: reads }),
    mount: async (_, digest, { signal }) => (await store.touch(digest, { signal })) !== undefined,
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

const NO_ROOM = new Set(["ENOSPC", "EDQUOT", "no_space"]);

function isForWantOfRoom(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return NO_ROOM.has(code) || isForWantOfRoom(error.cause);
}

/** Every normalised image reference begins with a host, which has a dot or a colon or is `localhost`. */
const PREFIX = "lamellad/";

/** In the entry of a manifest, what that refers to: found without reading the manifests of a repository. */
const SUBJECT = "dev.lamella.subject";

function storeManifests(store: ImageStore, onTag: RegistryStorageOptions["onTag"]): ManifestStorage {
  async function find(repository: string, reference: string, call?: CallOptions): Promise<Descriptor | undefined> {
    const name = registryName(repository, reference);
    const [tag] = await store.tags({ prefix: name, limit: 1 }, call);
    return tag?.name === name ? tag.descriptor : undefined;
  }

  return {
    async resolve(repository, reference, call) {
      const found = await find(repository, reference, call);
      return found && { mediaType: found.mediaType, digest: found.digest, size: found.size };
    },
    async put(repository, manifest, { tag, subject, signal } = {}) {
      const entry = subject === undefined ? manifest : { ...manifest, annotations: { [SUBJECT]: subject } };
      const names = new Map([[manifest.digest as string, entry]]);
      if (tag !== undefined) names.set(tag, manifest);
      for (const [reference, wanted] of names) {
        const known = await find(repository, reference, { signal });
        if (known?.digest === wanted.digest && known.annotations?.[SUBJECT] === wanted.annotations?.[SUBJECT]) continue;
        await orStorageFull(() => store.tag(registryName(repository, reference), wanted, { signal }));
      }
      if (tag !== undefined) await onTag?.(repository, tag, manifest.digest);
    },
    async referrers(repository, subject, page) {
      const found: Digest[] = [];
      for await (const { name, descriptor } of tagsUnder(store, `${PREFIX}${repository}@`, page)) {
        const digest = name.slice(name.indexOf("@") + 1);
        if (descriptor.annotations?.[SUBJECT] === subject && isDigest(digest)) found.push(digest);
      }
      return pageOf(found, page);
    },
    async delete(repository, reference, call) {
      const name = registryName(repository, reference);
      if (isDigest(reference)) {
        const tags = await store.tags({ prefix: registryName(repository, ""), digest: reference }, call);
        for (const tag of tags) await store.untag(tag.name, call);
      }
      return store.untag(name, call);
    },
    async tags(repository, { after, limit, signal }) {
      const prefix = registryName(repository, "");
      const last = after === undefined ? undefined : `${prefix}${after}`;
      const tags = await store.tags({ prefix, after: last, limit }, { signal });
      if (tags.length > 0 || (await hasManifests(store, repository, { signal }))) {
        return tags.map(({ name }) => name.slice(prefix.length));
      }
      return undefined;
    },
    async repositories(page) {
      const found = new Set<string>();
      for await (const { name } of tagsUnder(store, PREFIX, page)) {
        found.add(name.slice(PREFIX.length).replace(/[:@].*$/, ""));
      }
      return pageOf([...found], page);
    },
  };
}

const TAGS_AT_ONCE = 1000;

async function* tagsUnder(store: ImageStore, prefix: string, { signal }: CallOptions): AsyncGenerator<Tag> {
  let after = prefix;
  for (;;) {
    const tags = await store.tags({ prefix, after, limit: TAGS_AT_ONCE }, { signal });
    yield* tags;
    const last = tags.at(-1);
    if (last === undefined || tags.length < TAGS_AT_ONCE) return;
    after = last.name;
  }
}

async function hasManifests(store: ImageStore, repository: string, call: CallOptions): Promise<boolean> {
  const prefixes = [registryName(repository, ""), `${PREFIX}${repository}@`];
  for (const prefix of prefixes) if ((await store.tags({ prefix, limit: 1 }, call)).length > 0) return true;
  return false;
}

/** The name in the store of what a repository has under a tag or a digest: `lamellad/app:v1` and `lamellad/app@sha256:…`. */
export function registryName(repository: string, reference: string): string {
  return `${PREFIX}${repository}${reference.includes(":") ? "@" : ":"}${reference}`;
}

function pageOf<Name extends string>(names: Name[], { after = "", limit }: Page): Name[] {
  return names
    .filter((name) => name > after)
    .sort()
    .slice(0, limit);
}
