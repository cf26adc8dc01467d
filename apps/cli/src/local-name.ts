import { existsSync } from "node:fs";
import { join } from "node:path";

import type { ImageStore } from "@lamella/image-store";
import type { CallOptions } from "@lamella/refs";

/** Whether the user gave this name to an image of the store: it means that image then, whatever a registry has under it. */
export async function isLocalName(store: ImageStore, name: string, options: CallOptions): Promise<boolean> {
  const [tag] = await store.tags({ prefix: name, limit: 1, scope: "local" }, options);
  return tag?.name === name;
}

/** The store in which the user gave this name to an image; the caller closes it. No store is made for that. */
export async function openStoreOfName(
  root: string,
  name: string,
  options: CallOptions,
): Promise<ImageStore | undefined> {
  if (!existsSync(join(root, "lamella.db"))) return undefined;
  // a lazy mount needs the store for nothing else, and is ready before it would be loaded
  const { openImageStore } = await import("@lamella/image-store");
  const store = await openImageStore(root, options);
  try {
    if (await isLocalName(store, name, options)) return store;
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
  await store[Symbol.asyncDispose]();
  return undefined;
}
