import { createRegistryClient, defaultCredentials, isLoopbackHost } from "@lamella/oci-client";
import type { RegistryClient } from "@lamella/oci-client";

import { Interrupted } from "./exit-status.js";
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
  const abort = new AbortController();
  const interrupt = (signal: "SIGINT" | "SIGTERM"): void => abort.abort(new Interrupted(signal));
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  const client = createRegistryClient({
    plainHttp: mayBePlain(options),
    credentials: defaultCredentials(process.env),
  });
  try {
    return await use({ client, signal: abort.signal });
  } finally {
    await client.close();
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

/** Plain HTTP is for this machine, and for hosts that the user names. */
export function mayBePlain(options: GlobalOptions): (host: string) => boolean {
  return (host) => isLoopbackHost(host) || options.plainHttp.includes(host);
}
