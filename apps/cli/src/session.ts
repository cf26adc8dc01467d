import { openImageStore, openImageTree, openNamedTree, openSource, pullImage } from "@lamella/image-store";
import type { Image, ImageStore, Lease, OpenSource, PullOptions } from "@lamella/image-store";
import type { FileTree } from "@lamella/layer-format";
import type { RegistryClient } from "@lamella/oci-client";
import { LamellaError } from "@lamella/refs";

import { isLocalName } from "./local-name.js";
import type { GlobalOptions } from "./options.js";
import { showProgress } from "./progress.js";
import { withRegistries } from "./registry-session.js";

/** What one run of a command works with. */
export interface Session {
  readonly options: GlobalOptions;
  readonly signal: AbortSignal;
  /**
   * Brings an image of any source into the store, with progress, and keeps it under `name`, which loses what it stood for; else under
   * the reference that it came by, unless that is the user's own name for another image; else under the names that it has within an
   * archive, unless they are of other images.
   *
   * @throws {LamellaError} `option_invalid` for a source that has no reference of its own, if there is no `name`
   */
  keep(source: string, name?: string): Promise<{ image: Image; name: string }>;
  /**
   * The file tree of any source, which is closed when `use` has ended; of an image there is the image too. A name that the user gave
   * to an image of the store means that image. What came from a registry is kept.
   */
  withTree<T>(source: string, use: (tree: FileTree, image: Image | undefined) => Promise<T>): Promise<T>;
  /** Brings an image as `withTree` does; what it needs of the store, archives of layers too, stays there until `use` has ended. */
  withImage<T>(source: string, use: (found: FoundImage) => Promise<T>): Promise<T>;
}

/** An image that is in the store, and the reference that it came by. */
interface FoundImage {
  readonly image: Image;
  readonly store: ImageStore;
  readonly reference: string | undefined;
}

/** Runs a command with a store and a registry client that are open for as long as it takes. */
export async function withSession<T>(options: GlobalOptions, use: (session: Session) => Promise<T>): Promise<T> {
  return withRegistries(options, async ({ client, signal }) => {
    await using store = await openImageStore(options.root, { signal });
    return await use(createSession(options, signal, client, store));
  });
}

function createSession(
  options: GlobalOptions,
  signal: AbortSignal,
  client: RegistryClient,
  store: ImageStore,
): Session {
  async function bring(
    source: OpenSource,
    title: string,
    how: Pick<PullOptions, "name" | "scope" | "onlyIfFree" | "lease">,
  ): Promise<Image> {
    const progress = showProgress(options, `Pulling ${title}`);
    try {
      const { platform } = options;
      return await pullImage(store, source.images, source.name, {
        ...how,
        platform,
        onProgress: progress.layer,
        signal,
      });
    } finally {
      progress.stop();
      await source.close();
    }
  }

  /** A name that the user gave means what it was given to, whatever a registry has under it. */
  async function openStoredOr(text: string): Promise<OpenSource> {
    const source = await openSource(text, client, { signal, stdin: process.stdin });
    const name = source.reference;
    if (name === undefined) return source;
    if (!(await isLocalName(store, name, { signal }))) return source;
    await source.close();
    return { images: store, name, close: async () => {} };
  }

  async function bringLeased<T>(source: OpenSource, text: string, use: (image: Image) => Promise<T>): Promise<T> {
    const work = async (lease: Lease): Promise<T> =>
      use(await bring(source, text, { name: source.reference, scope: "registry", lease }));
    return store.lease(`read ${text}`, [], work, { signal });
  }

  return {
    options,
    signal,
    async keep(text, wanted) {
      const source = await openSource(text, client, { signal, stdin: process.stdin });
      const [name, ...others] = wanted === undefined ? namesOf(source) : [wanted];
      if (name === undefined) {
        await source.close();
        throw new LamellaError(
          "option_invalid",
          `cannot pull ${text}: it has no reference of its own, give one with --name`,
        );
      }
      const scope = wanted === undefined && source.reference !== undefined ? "registry" : "local";
      const onlyIfFree = wanted === undefined && source.reference === undefined;
      const image = await bring(source, text, { name, scope, onlyIfFree });
      for (const other of others) await store.tag(other, image.root, { onlyIfFree, signal });
      return { image, name };
    },
    async withImage<T>(text: string, useImage: (found: FoundImage) => Promise<T>) {
      const source = await openStoredOr(text);
      return bringLeased(source, text, (image) => useImage({ image, store, reference: source.reference }));
    },
    async withTree<T>(text: string, useTree: (tree: FileTree, image: Image | undefined) => Promise<T>) {
      const named = await openNamedTree(text, { xattrs: options.xattrs, signal });
      if (named !== undefined) {
        await using tree = named;
        return await useTree(tree, undefined);
      }
      return bringLeased(await openStoredOr(text), text, async (image) => {
        await using tree = await openImageTree(store.content, image, { signal });
        return await useTree(tree, image);
      });
    },
  };
}

/** A reference, or the names that an image has within an archive. */
function namesOf({ reference, names = [] }: OpenSource): readonly string[] {
  return reference === undefined ? names : [reference];
}
