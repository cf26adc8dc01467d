import { openContentStore, openImageTree, openSource, pullImage } from "@lamella/image-store";
import type { ContentStore, Image } from "@lamella/image-store";
import type { FileTree } from "@lamella/layer-format";
import type { RegistryClient } from "@lamella/oci-client";

import type { GlobalOptions } from "./options.js";
import { showProgress } from "./progress.js";
import { withRegistries } from "./registry-session.js";

/** What one run of a command works with. */
export interface Session {
  readonly options: GlobalOptions;
  readonly signal: AbortSignal;
  /** Brings an image of any source into the store, with progress. */
  pull(source: string): Promise<{ image: Image; reference: string | undefined }>;
  /** The same, and the image's file tree, which is closed when `use` has ended. */
  withTree<T>(source: string, use: (tree: FileTree, image: Image) => Promise<T>): Promise<T>;
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
  const session: Session = {
    options,
    signal,
    async pull(text) {
      const { images, name, reference, close } = await openSource(text, client, { signal });
      const progress = showProgress(options, `Pulling ${text}`);
      try {
        const onProgress = progress.layer;
        const image = await pullImage(content, images, name, {
          platform: options.platform,
          name: reference,
          onProgress,
          signal,
        });
        return { image, reference };
      } finally {
        progress.stop();
        await close();
      }
    },
    async withTree(text, useTree) {
      const { image } = await session.pull(text);
      const tree = await openImageTree(content, image, { signal });
      try {
        return await useTree(tree, image);
      } finally {
        await tree[Symbol.asyncDispose]();
      }
    },
  };
  return session;
}
