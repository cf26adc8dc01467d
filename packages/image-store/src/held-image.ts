import type { CopySource } from "@lamella/oci-client";
import type { CallOptions } from "@lamella/refs";

import type { ImageStore } from "./image-store.js";
import { readPresent } from "./present.js";

/**
 * Does `use` with an image of the store as a source to copy from, to a registry, a layout or an archive. Nothing of it goes before `use` has ended,
 * whoever removes it meanwhile.
 *
 * @throws {ImageStoreError} `not_found`, `ambiguous`
 */
export async function withHeldImage<Result>(
  store: ImageStore,
  text: string,
  use: (source: CopySource) => Promise<Result>,
  options: CallOptions = {},
): Promise<Result> {
  const found = await store.resolve(text, options);
  const { blobs } = await readPresent(store.content, found, options);
  const items = [...blobs].map((ref) => ({ kind: "blob", ref }) as const);
  const source = { images: store, name: found.digest };
  return store.lease(`copy ${text}`, items, () => use(source), options);
}
