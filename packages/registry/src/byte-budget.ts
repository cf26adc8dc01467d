import { RegistryError } from "./errors.js";

/** What one manifest on its way in takes of the memory that all of them may take. */
export interface BudgetShare {
  /** Throws `manifests_exhausted` rather than take more than is left. */
  take(bytes: number): void;
  release(): void;
}

/** Opens shares of so many bytes. */
export function createByteBudget(limit: number): () => BudgetShare {
  let used = 0;
  return () => {
    let own = 0;
    return {
      take(bytes) {
        if (used + bytes > limit) {
          const state = `those on their way in have ${used} bytes, the limit is ${limit}`;
          throw new RegistryError("manifests_exhausted", `cannot take a manifest: ${state}`);
        }
        used += bytes;
        own += bytes;
      },
      release() {
        used -= own;
        own = 0;
      },
    };
  };
}
