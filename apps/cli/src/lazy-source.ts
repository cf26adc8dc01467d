import { join } from "node:path";

import { openNamedRepository } from "@lamella/image-store";
import type { FileTree } from "@lamella/layer-format";
import { createLayerResolver, openBlobCache, openLazyImage, openPlainIndexStore } from "@lamella/lazy-layer";
import type { LazyBlob, LazyImage } from "@lamella/lazy-layer";
import type { RegistryClient, Repository } from "@lamella/oci-client";
import { formatReference, LamellaError } from "@lamella/refs";
import type { CallOptions, Descriptor, ImageConfig } from "@lamella/refs";

import { openStoreOfName } from "./local-name.js";
import type { GlobalOptions } from "./options.js";
import { withRegistries } from "./registry-session.js";

/** Where what was read in registries is kept. */
export function blobCacheDirectory(root: string): string {
  return join(root, "lazy", "blobs");
}

/** A tree that is open, and what is known of it. */
export interface OpenedTree {
  readonly tree: FileTree;
  /** Of a source that is an image. */
  readonly image: { readonly descriptor: Descriptor; readonly config: ImageConfig } | undefined;
  /** Of an image that is read where it lies, base first; none of one that is here. */
  readonly layers: readonly LazyBlob[];
  /** Aborts on Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
}

/** Of commands that read what a registry has there. */
export interface LazyOptions extends GlobalOptions {
  /** Bytes of the cache that all of them share. */
  readonly cacheSize: number;
}

/**
 * As {@link withPulledTree}, but what a registry has is read there, piece by piece as it is asked for, and kept in a cache beside the store. What is here already, a file, a
 * directory or an image by a name that the user gave it, is read as it always is.
 */
export async function withLazyTree<T>(
  source: string,
  options: LazyOptions,
  use: (opened: OpenedTree) => Promise<T>,
): Promise<T> {
  const remote = await withRegistries(options, async ({ client, signal }) => {
    const found = await findRemote(source, options, client, { signal });
    if (found === undefined) return undefined;
    return { result: await withLazyImage(found, options, { signal }, (image) => use({ ...image, signal })) };
  });
  if (remote !== undefined) return remote.result;
  return withPulledTree(source, options, use);
}

/** As a session's `withTree`: what a registry has is pulled first. */
export async function withPulledTree<T>(
  source: string,
  options: GlobalOptions,
  use: (opened: OpenedTree) => Promise<T>,
): Promise<T> {
  const { withSession } = await import("./session.js");
  return withSession(options, ({ withTree, signal }) =>
    withTree(source, (tree, image) => use({ tree, image, layers: [], signal })),
  );
}

interface Remote {
  readonly repository: Repository;
  readonly name: string;
}

/** Undefined for what is on this machine. */
async function findRemote(
  source: string,
  options: GlobalOptions,
  client: RegistryClient,
  call: CallOptions,
): Promise<Remote | undefined> {
  try {
    const { repository, reference, name } = openNamedRepository(source, client);
    await using store = await openStoreOfName(options.root, formatReference(reference), call);
    return store === undefined ? { repository, name } : undefined;
  } catch (error) {
    if (error instanceof LamellaError && error.code === "source_unsupported") return undefined;
    throw error;
  }
}

async function withLazyImage<T>(
  { repository, name }: Remote,
  { root, platform, cacheSize: quotaBytes }: LazyOptions,
  { signal }: CallOptions,
  use: (opened: Omit<OpenedTree, "signal">) => Promise<T>,
): Promise<T> {
  const cache = await openBlobCache(blobCacheDirectory(root), { quotaBytes, signal });
  const indexes = await openPlainIndexStore(join(root, "lazy", "indexes"), { signal });
  await using resolver = createLayerResolver({ cache });
  await using lazy: LazyImage = await openLazyImage(repository, name, { resolver, indexes, platform, signal });
  const { tree, layers, descriptor, config } = lazy;
  return await use({ tree, layers, image: { descriptor, config } });
}
