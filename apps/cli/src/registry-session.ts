import { configuredHosts, createRegistryClient, defaultCredentials } from "@lamella/oci-client";
import type { RegistryClient, RegistryClientOptions } from "@lamella/oci-client";
import type { CallOptions } from "@lamella/refs";

import { withInterruption } from "./interruption.js";
import type { GlobalOptions } from "./options.js";

/** What one run of a command that talks to registries works with. */
export interface RegistrySession {
  readonly client: RegistryClient;
  /** Aborts on Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
}

/** Runs a command with a registry client that is open for as long as it takes, logged in as docker, podman and skopeo would be. */
export async function withRegistries<T>(
  options: GlobalOptions,
  use: (session: RegistrySession) => Promise<T>,
): Promise<T> {
  return withInterruption(async (signal) => {
    let client: RegistryClient | undefined;
    try {
      const credentials = defaultCredentials(process.env);
      client = createRegistryClient({ ...(await clientOptions(options, { signal })), credentials });
      return await use({ client, signal });
    } finally {
      await client?.close();
    }
  });
}

/** How registries are reached. */
export async function clientOptions(
  { hostsDir, plainHttp, foreignUrls = false }: GlobalOptions,
  { signal }: CallOptions,
): Promise<RegistryClientOptions> {
  return { ...(await configuredHosts({ directory: hostsDir, plainHttp, signal })), foreignUrls };
}
