import { openImageStore } from "@lamella/image-store";
import type { ImageStore } from "@lamella/image-store";
import type { CallOptions } from "@lamella/refs";

/** Whether the user gave this name to an image of the store: it means that image then, whatever a registry has under it. */
export async function isLocalName(store: ImageStore, name: string, options: CallOptions): Promise<boolean> {
  const [tag] = await store.tags({ prefix: name, limit: 1, scope: "local" }, options);
  return tag?.name === name;
}

/** The same of the store in a directory, which is there. */
export async function isNameInStore(root: string, name: string, options: CallOptions): Promise<boolean> {
  await using store = await openImageStore(root, options);
  return await isLocalName(store, name, options);
}
