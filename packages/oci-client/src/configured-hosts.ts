import { readFile } from "node:fs/promises";

import type { CallOptions } from "@lamella/refs";

import type { Environment } from "./credentials-default.js";
import { isLoopbackHost } from "./host.js";
import { readHostsDirectory } from "./hosts-directory.js";
import type { HostsOptions } from "./hosts-directory.js";

export interface ConfiguredHostsOptions extends CallOptions {
  /** As containerd's `certs.d`, see `readHostsDirectory`. */
  directory?: string | undefined;
  /** Hosts that are reached over plain HTTP, besides this machine, where the directory does not say. */
  plainHttp: readonly string[];
  /** `SSL_CERT_FILE` is a bundle of certificates for the hosts to which the directory gives none. */
  env?: Environment | undefined;
}

/** Of the options of `createRegistryClient`. */
export interface ConfiguredHosts extends Pick<HostsOptions, "mirrors" | "tls"> {
  plainHttp(host: string): boolean;
}

/**
 * How a client reaches registries, as a program's user has it configured: over plain HTTP or not, by which mirrors, with whose certificates.
 * @throws {OciClientError} `config_invalid` naming the file
 */
export async function configuredHosts(options: ConfiguredHostsOptions): Promise<ConfiguredHosts> {
  const { directory, plainHttp, env = process.env, signal } = options;
  const hosts = directory === undefined ? undefined : await readHostsDirectory(directory, { signal });
  const { SSL_CERT_FILE: bundle } = env;
  const ca = bundle ? await readFile(bundle, "utf8") : undefined;
  return {
    plainHttp: (host) => hosts?.isPlainHttp(host) ?? (isLoopbackHost(host) || plainHttp.includes(host)),
    mirrors: (host) => hosts?.mirrors(host) ?? [],
    tls: (host) => (ca === undefined ? hosts?.tls(host) : { ca, ...hosts?.tls(host) }),
  };
}
