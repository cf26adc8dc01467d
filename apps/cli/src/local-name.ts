import type { ImageStore } from "@lamella/image-store";
import type { CallOptions } from "@lamella/refs";

/** Whether the user gave this name to an image of the store: it means that image then, whatever a registry has under it. */
export async function isLocalName(store: ImageStore, name: string, options: CallOptions): Promise<boolean> {
  const [tag] = await store.tags({ prefix: name, limit: 1, scope: "local" }, options);
  return tag?.name === name;
}
