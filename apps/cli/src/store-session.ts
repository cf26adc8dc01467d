import { openImageStore } from "@lamella/image-store";
import type { ImageStore } from "@lamella/image-store";

import { withInterruption } from "./interruption.js";
import type { GlobalOptions } from "./options.js";

/** Runs a command with a store that is open for as long as it takes. */
export async function withStore<T>(
  options: GlobalOptions,
  use: (store: ImageStore, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return withInterruption(async (signal) => {
    await using store = await openImageStore(options.root, { signal });
    return await use(store, signal);
  });
}
