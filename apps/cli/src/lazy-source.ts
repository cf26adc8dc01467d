import { existsSync } from "node:fs";
import { join } from "node:path";

import { openNamedRepository } from "@lamella/image-store";
import type { FileTree } from "@lamella/layer-format";
import { createLayerResolver, openBlobCache, openLazyImage, openPlainIndexStore } from "@lamella/lazy-layer";
import type { LazyBlob, LazyImage } from "@lamella/lazy-layer";
import type { RegistryClient, Repository } from "@lamella/oci-client";
import { formatReference, LamellaError } from "@lamella/refs";
import type { CallOptions, Descriptor, ImageConfig } from "@lamella/refs";

import type { GlobalOptions } from "./options.js";
import { withRegistries } from "./registry-session.js";

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

/*
 * The store, and all that it brings, is loaded only where it is needed: that takes longer than fetching what a mount needs first.
 */

/**
 * As a session's `withTree`, but what a registry has is read there, piece by piece as it is asked for, and kept in a cache beside the store. What is here already, a file, a
 * directory or an image by a name that the user gave it, is read as it always is.
 */
export async function withLazyTree<T>(
  source: string,
  options: GlobalOptions,
  use: (opened: OpenedTree) => Promise<T>,
): Promise<T> {
  const remote = await withRegistries(options, async ({ client, signal }) => {
    const found = await findRemote(source, options, client, { signal });
    if (found === undefined) return undefined;
    return { result: await withLazyImage(found, options, { signal }, (image) => use({ ...image, signal })) };
  });
  if (remote !== undefined) return remote.result;
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
    return (await isOwnName(formatReference(reference), options, call)) ? undefined : { repository, name };
  } catch (error) {
    if (error instanceof LamellaError && error.code === "source_unsupported") return undefined;
    throw error;
  }
}

/** Whether the user has given this name to an image of the store. */
async function isOwnName(text: string, { root }: GlobalOptions, call: CallOptions): Promise<boolean> {
  // Making a store takes longer than a mount may, and an empty one has no names.
  if (!existsSync(join(root, "lamella.db"))) return false;
  const { isNameInStore } = await import("./local-name.js");
  return isNameInStore(root, text, call);
}

async function withLazyImage<T>(
  { repository, name }: Remote,
  { root, platform }: GlobalOptions,
  { signal }: CallOptions,
  use: (opened: Omit<OpenedTree, "signal">) => Promise<T>,
): Promise<T> {
  const cache = await openBlobCache(join(root, "lazy", "blobs"), { signal });
  const indexes = await openPlainIndexStore(join(root, "lazy", "indexes"), { signal });
  await using resolver = createLayerResolver({ cache });
  await using lazy: LazyImage = await openLazyImage(repository, name, { resolver, indexes, platform, signal });
  const { tree, layers, descriptor, config } = lazy;
  return await use({ tree, layers, image: { descriptor, config } });
}
