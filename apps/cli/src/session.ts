import { openContentStore, openImageTree, openNamedTree, openSource, pullImage } from "@lamella/image-store";
import type { ContentStore, Image, OpenSource } from "@lamella/image-store";
import type { FileTree } from "@lamella/layer-format";
import type { RegistryClient } from "@lamella/oci-client";
import { LamellaError } from "@lamella/refs";

import type { GlobalOptions } from "./options.js";
import { showProgress } from "./progress.js";
import { withRegistries } from "./registry-session.js";

/** What one run of a command works with. */
export interface Session {
  readonly options: GlobalOptions;
  readonly signal: AbortSignal;
  /**
   * Brings an image of any source into the store, with progress, and keeps it under `name` or the reference that it came by.
   * @throws {LamellaError} `option_invalid` for a source that has no reference of its own, if there is no `name`
   */
  keep(source: string, name?: string): Promise<{ image: Image; name: string }>;
  /**
   * The file tree of any source, which is closed when `use` has ended; of an image there is the image too. What came from a registry
   * is kept.
   */
  withTree<T>(source: string, use: (tree: FileTree, image: Image | undefined) => Promise<T>): Promise<T>;
  /** Brings an image of any source into the store, as `withTree` does, with the archives of its layers. */
  bring(source: string): Promise<{ image: Image; content: ContentStore; reference: string | undefined }>;
}

/** Runs a command with a store and a registry client that are open for as long as it takes. */
export async function withSession<T>(options: GlobalOptions, use: (session: Session) => Promise<T>): Promise<T> {
  return withRegistries(options, async ({ client, signal }) => {
    const content = await openContentStore(options.root, { signal });
    return use(createSession(options, signal, client, content));
  });
}

function createSession(
  options: GlobalOptions,
  signal: AbortSignal,
  client: RegistryClient,
  content: ContentStore,
): Session {
  async function bring(source: OpenSource, title: string, name: string | undefined): Promise<Image> {
    const progress = showProgress(options, `Pulling ${title}`);
    try {
      const { platform } = options;
      return await pullImage(content, source.images, source.name, {
        platform,
        name,
        onProgress: progress.layer,
        signal,
      });
    } finally {
      progress.stop();
      await source.close();
    }
  }

  return {
    options,
    signal,
    async keep(text, wanted) {
      const source = await openSource(text, client, { signal });
      const name = wanted ?? source.reference;
      if (name === undefined) {
        await source.close();
        throw new LamellaError(
          "option_invalid",
          `cannot pull ${text}: it has no reference of its own, give one with --name`,
        );
      }
      return { image: await bring(source, text, name), name };
    },
    async bring(text) {
      const source = await openSource(text, client, { signal });
      return { image: await bring(source, text, source.reference), content, reference: source.reference };
    },
    async withTree(text, useTree) {
      const named = await openNamedTree(text, { xattrs: options.xattrs, signal });
      if (named !== undefined) {
        await using tree = named;
        return await useTree(tree, undefined);
      }
      const source = await openSource(text, client, { signal });
      const image = await bring(source, text, source.reference);
      const tree = await openImageTree(content, image, { signal });
      try {
        return await useTree(tree, image);
      } finally {
        await tree[Symbol.asyncDispose]();
      }
    },
  };
}
