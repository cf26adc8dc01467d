import { readFile } from "node:fs/promises";

import { createRegistryClient, defaultCredentials, isLoopbackHost, readHostsDirectory } from "@lamella/oci-client";
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

/** How registries are reached: over plain HTTP or not, by which mirrors, with whose certificates. */
export async function clientOptions(options: GlobalOptions, call: CallOptions): Promise<RegistryClientOptions> {
  const hosts = await readHostsDirectory(options.hostsDir, call);
  const { SSL_CERT_FILE: bundle } = process.env;
  const ca = bundle ? await readFile(bundle, "utf8") : undefined;
  return {
    plainHttp: (host) => hosts.isPlainHttp(host) ?? (isLoopbackHost(host) || options.plainHttp.includes(host)),
    mirrors: hosts.mirrors,
    foreignUrls: options.foreignUrls ?? false,
    tls: (host) => (ca === undefined ? hosts.tls(host) : { ca, ...hosts.tls(host) }),
  };
}
