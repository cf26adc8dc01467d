import type { ImageManager, ImageStore } from "@lamella/image-store";
import {
  collectContent,
  isConfigType,
  isIndexType,
  isLayerType,
  isManifestType,
  MAX_DOCUMENT_BYTES,
  parseIndex,
  parseManifest,
  parseReference,
  RefsError,
} from "@lamella/refs";
import type { CallOptions, Descriptor, Digest } from "@lamella/refs";

import { registryName } from "../registry-storage.js";
import type { ImageDefaults, PushedImages } from "./context.js";

export interface PushedImagesOptions {
  readonly store: ImageStore;
  readonly manager: Pick<ImageManager, "importLocalImage" | "cancelBuild">;
  readonly defaults: ImageDefaults;
}

const DOMAIN = "localhost";
/** As the registry client has it. */
const MAX_NESTING = 8;
/** Of an index, which has an image for each platform first. */
const MAX_DOCUMENTS = 64;

/** What is pushed becomes an image, and what is deleted takes with it what was pushed. Whatever is no image is left alone. */
export function createPushedImages({ store, manager, defaults }: PushedImagesOptions): PushedImages {
  return {
    async pushed(repository, tag, digest, { signal } = {}) {
      signal?.throwIfAborted();
      const descriptor = await find(store, registryName(repository, digest), { signal });
      if (descriptor === undefined || !(await isImage(store, descriptor, { signal }))) return;
      const name = `${DOMAIN}/${repository}:${tag}`;
      // the name stands for another image from now on
      for (const id of await supersededBuilds(store, { name, digest: descriptor.digest }, { signal })) {
        await manager.cancelBuild(id, { signal });
      }
      await manager.importLocalImage(name, descriptor.digest, { ...defaults, signal });
    },
    async forget(name, { signal } = {}) {
      signal?.throwIfAborted();
      const pushed = pushedAs(name);
      if (pushed === undefined) return;
      const { repository, tag } = pushed;
      const descriptor = await find(store, registryName(repository, tag), { signal });
      if (descriptor === undefined) return;
      await store.untag(registryName(repository, tag), { signal });
      for (const digest of await unneeded(store, repository, descriptor, { signal })) {
        await store.untag(registryName(repository, digest), { signal });
      }
    },
  };
}

function pushedAs(name: string): { repository: string; tag: string } | undefined {
  try {
    const { domain, path, tag, digest } = parseReference(name);
    return domain !== DOMAIN || tag === undefined || digest !== undefined ? undefined : { repository: path, tag };
  } catch (error) {
    if (error instanceof RefsError) return undefined;
    throw error;
  }
}

async function find(store: ImageStore, name: string, options: CallOptions): Promise<Descriptor | undefined> {
  const [tag] = await store.tags({ prefix: name, limit: 1 }, options);
  return tag?.name === name ? tag.descriptor : undefined;
}

/** Builds under a name of what it stood for before. */
async function supersededBuilds(
  store: ImageStore,
  { name, digest }: { name: string; digest: Digest },
  options: CallOptions,
): Promise<number[]> {
  const rows = await store.database.read(
    (queries) =>
      queries
        .selectFrom("builds")
        .select("id")
        .where("name", "=", name)
        .where("root_digest", "!=", digest)
        .where("status", "in", ["pending", "pulling", "converting"])
        .execute(),
    options,
  );
  return rows.map(({ id }) => id);
}

/** Whether there is something to boot: a manifest, or one in an index, with the config of an image and layers that are such. */
async function isImage(store: ImageStore, root: Descriptor, options: CallOptions): Promise<boolean> {
  let documents = 0;
  for await (const { descriptor, bytes } of documentsUnder(store, root, options)) {
    if (isManifestType(descriptor.mediaType) && isImageManifest(bytes, descriptor.mediaType)) return true;
    if (++documents >= MAX_DOCUMENTS) return false;
  }
  return false;
}

function isImageManifest(bytes: Uint8Array, mediaType: string): boolean {
  try {
    const { artifactType, config, layers } = parseManifest(bytes, mediaType);
    // signatures borrow the media type of an image's config
    return (
      artifactType === undefined &&
      isConfigType(config.mediaType) &&
      layers.every((layer) => isLayerType(layer.mediaType))
    );
  } catch (error) {
    if (error instanceof RefsError) return false;
    throw error;
  }
}

/** The digests under a manifest or an index, its own included, that nothing else of the repository leads to. */
async function unneeded(
  store: ImageStore,
  repository: string,
  root: Descriptor,
  options: CallOptions,
): Promise<Digest[]> {
  const under = await digestsUnder(store, [root], options);
  const others: Descriptor[] = [];
  for (const prefix of ["", "sha256:", "sha512:"]) {
    const tags = await store.tags({ prefix: registryName(repository, prefix) }, options);
    for (const { descriptor } of tags) if (prefix === "" || !under.has(descriptor.digest)) others.push(descriptor);
  }
  const needed = await digestsUnder(store, others, options);
  return [...under].filter((digest) => !needed.has(digest));
}

async function digestsUnder(
  store: ImageStore,
  roots: readonly Descriptor[],
  options: CallOptions,
): Promise<ReadonlySet<Digest>> {
  const digests = new Set<Digest>();
  for (const root of roots) {
    if (digests.has(root.digest)) continue;
    digests.add(root.digest);
    if (!isIndexType(root.mediaType)) continue;
    for await (const { children } of documentsUnder(store, root, options)) {
      for (const { digest } of children) digests.add(digest);
    }
  }
  return digests;
}

interface FoundDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  /** Of an index. */
  readonly children: readonly Descriptor[];
}

/** The documents that are there, from the top down, each once. */
async function* documentsUnder(
  store: ImageStore,
  root: Descriptor,
  options: CallOptions,
): AsyncGenerator<FoundDocument> {
  const seen = new Set<Digest>();
  let level: readonly Descriptor[] = [root];
  for (let depth = 0; depth <= MAX_NESTING && level.length > 0; depth++) {
    const next: Descriptor[] = [];
    for (const descriptor of level) {
      if (seen.has(descriptor.digest)) continue;
      seen.add(descriptor.digest);
      const bytes = await readWhole(store, descriptor, options);
      if (bytes === undefined) continue;
      const children = childrenOf(descriptor, bytes);
      next.push(...children);
      yield { descriptor, bytes, children };
    }
    level = next;
  }
}

function childrenOf({ mediaType }: Descriptor, bytes: Uint8Array): readonly Descriptor[] {
  if (!isIndexType(mediaType)) return [];
  try {
    return parseIndex(bytes, mediaType).manifests;
  } catch (error) {
    if (error instanceof RefsError) return [];
    throw error;
  }
}

async function readWhole(
  { content }: ImageStore,
  descriptor: Descriptor,
  options: CallOptions,
): Promise<Uint8Array | undefined> {
  if ((await content.stat(descriptor.digest, options)) !== descriptor.size) return undefined;
  return collectContent(descriptor, content.fetch(descriptor, options), MAX_DOCUMENT_BYTES, options);
}
