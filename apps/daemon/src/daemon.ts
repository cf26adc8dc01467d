import { openImageStore } from "@lamella/image-store";
import { createRegistry } from "@lamella/registry";

import { createApp } from "./app.js";
import { startHttpServer } from "./http-server.js";
import type { ListenAddress } from "./listen-address.js";
import { storeRegistryStorage } from "./registry-storage.js";

export interface DaemonOptions {
  /** The store's directory, made if need be. */
  readonly root: string;
  readonly listen: ListenAddress;
  /** Is told of what went wrong on our side. */
  readonly onError: (error: unknown) => void;
}

export interface Daemon {
  /** What was bound: `http://127.0.0.1:5080` or `unix:/path`. */
  readonly url: string;
  /** Finishes the requests that have begun, cuts those that take longer than `graceMs`, and gives up unfinished uploads. */
  stop(graceMs: number): Promise<void>;
}

/** Opens the store and serves it. Throws what {@link startHttpServer} and the store throw. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { root, listen, onError } = options;
  const store = await openImageStore(root);
  const storage = storeRegistryStorage(store);
  let ready = true;
  const app = createApp({
    registry: createRegistry({ storage, onError }),
    isReady: () => ready,
    loopbackOnly: listen.kind === "tcp",
  });
  const server = await startHttpServer({ fetch: app, address: listen }).catch(async (error: unknown) => {
    await store[Symbol.asyncDispose]();
    throw error;
  });
  return {
    url: server.url,
    async stop(graceMs) {
      ready = false;
      await server.close(graceMs);
      await storage[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}
