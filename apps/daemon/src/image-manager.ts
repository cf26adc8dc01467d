import { createImageManager, openSource } from "@lamella/image-store";
import type { ImageManager, ImageStore, ManagerHooks, Quotas } from "@lamella/image-store";
import { configuredHosts, createRegistryClient, defaultCredentials } from "@lamella/oci-client";
import type { CallOptions } from "@lamella/refs";

export interface BuildOptions {
  /** Images built at once, and layers at once in each. */
  readonly concurrency?: { readonly builds: number; readonly layers: number };
  readonly quotas?: Quotas;
  /** Hosts that are reached over plain HTTP, besides this machine. */
  readonly plainHttp?: readonly string[];
  /** Mirrors and certificates, as containerd's `certs.d` has them. */
  readonly hostsDir?: string;
}

/** A manager that pulls from registries, logged in as docker, podman and skopeo would be. Disposing of it closes their connections too. */
export async function openImageManager(
  store: ImageStore,
  { concurrency, quotas, plainHttp = [], hostsDir }: BuildOptions,
  { hooks, environment, signal }: CallOptions & { hooks: ManagerHooks; environment: NodeJS.ProcessEnv },
): Promise<ImageManager> {
  const hosts = await configuredHosts({ directory: hostsDir, plainHttp, env: environment, signal });
  const client = createRegistryClient({ ...hosts, credentials: defaultCredentials(environment) });
  try {
    const sources = (name: string, call: CallOptions) => openSource(name, client, call);
    const manager = await createImageManager(store, { sources, concurrency, quotas, hooks, signal });
    return {
      ...manager,
      async [Symbol.asyncDispose]() {
        await manager[Symbol.asyncDispose]();
        await client.close();
      },
    };
  } catch (error) {
    await client.close();
    throw error;
  }
}
