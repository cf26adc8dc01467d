import { openSource, withHeldImage } from "@lamella/image-store";
import type { CopySource, RegistryClient } from "@lamella/oci-client";
import type { CallOptions } from "@lamella/refs";

import { openStoreOfName } from "./local-name.js";

export interface SourceSearch extends CallOptions {
  readonly client: RegistryClient;
  /** Of the store, which is not made for this. */
  readonly root: string;
}

/**
 * Opens an image of any source where it is, for as long as `use` takes, and brings nothing. A name that the user gave to an image of the
 * store means that image.
 */
export async function withSource<T>(
  text: string,
  { client, root, signal }: SourceSearch,
  use: (source: CopySource) => Promise<T>,
): Promise<T> {
  const source = await openSource(text, client, { signal });
  try {
    const { reference } = source;
    if (reference === undefined) return await use(source);
    await using store = await openStoreOfName(root, reference, { signal });
    if (store === undefined) return await use(source);
    return await withHeldImage(store, reference, use, { signal });
  } finally {
    await source.close();
  }
}
