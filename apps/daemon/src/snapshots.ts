import { openSnapshots } from "@lamella/image-store";
import type { SnapshotDriverName } from "@lamella/image-store";
import type { CallOptions } from "@lamella/refs";
import type { Snapshotter } from "@lamella/snapshot";

/** The snapshots of a store, opened when somebody first asks: a store that has none gets no directory for them. */
export interface LazySnapshots extends AsyncDisposable {
  open(options?: CallOptions): Promise<Snapshotter>;
}

export function lazySnapshots(root: string, driver: SnapshotDriverName): LazySnapshots {
  let opened: Promise<Snapshotter> | undefined;
  return {
    async open({ signal } = {}) {
      signal?.throwIfAborted();
      opened ??= openSnapshots(root, driver).catch((error: unknown) => {
        opened = undefined;
        throw error;
      });
      return opened;
    },
    async [Symbol.asyncDispose]() {
      await (await opened?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}
