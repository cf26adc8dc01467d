import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { type CallOptions, quote } from "@lamella/refs";

import { OciClientError } from "./errors.js";
import { type HostsConfig, parseHostsToml, type TlsFiles } from "./hosts-toml.js";
import type { TlsIdentity } from "./http-transport.js";
import type { Mirror } from "./mirrors.js";

/** The file of a directory that is for every host without one of its own, as containerd has it. */
const DEFAULT_HOST = "_default";

/** Options of a client that a directory of hosts gives. */
export interface HostsOptions {
  mirrors(host: string): readonly Mirror[];
  tls(host: string): TlsIdentity | undefined;
  /** Whether a host's own file says that it is reached over plain HTTP, by `server` or by its own table; `undefined`: it does not say. */
  isPlainHttp(host: string): boolean | undefined;
}

/**
 * Reads a directory as containerd's `certs.d`: `HOST/hosts.toml` for each registry host, `_default/hosts.toml` for the others, in the
 * subset of `parseHostsToml`. Certificates are read now; a relative path starts at the file's own directory. A registry's own
 * certificates stand in its file under its own URL. One that is not there has no hosts.
 * @throws {OciClientError} `config_invalid` naming the file
 */
export async function readHostsDirectory(directory: string, options: CallOptions = {}): Promise<HostsOptions> {
  const configs = new Map<string, HostsConfig>();
  const identities = new Map<string, TlsIdentity>();
  for (const host of await listHosts(directory)) {
    options.signal?.throwIfAborted();
    const path = join(directory, host, "hosts.toml");
    const text = await readFile(path, "utf8").catch(absent);
    if (text === undefined) continue;
    const config = parse(text, path);
    configs.set(host, config);
    for (const [mirror, files] of config.tlsFiles)
      identities.set(mirror, await readIdentity(files, join(directory, host), path));
  }
  return {
    mirrors: (host) => withoutItself(host, (configs.get(host) ?? configs.get(DEFAULT_HOST))?.mirrors ?? []),
    tls: (host) => identities.get(host),
    isPlainHttp: (host) => isPlain(host, configs.get(host)),
  };
}

function isPlain(host: string, config: HostsConfig | undefined): boolean | undefined {
  const urls = [config?.server, ...(config?.mirrors ?? []).map(({ url }) => url)];
  const own = urls.find((url) => url !== undefined && URL.canParse(url) && new URL(url).host === host);
  return own === undefined ? undefined : new URL(own).protocol === "http:";
}

/** A registry is asked after all its mirrors anyway; its own table is there for its certificates. */
function withoutItself(host: string, mirrors: HostsConfig["mirrors"]): HostsConfig["mirrors"] {
  return mirrors.filter(({ url }) => new URL(url).host !== host);
}

async function listHosts(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(absent);
  return (entries ?? []).filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

function parse(text: string, path: string): HostsConfig {
  try {
    return parseHostsToml(text);
  } catch (error) {
    if (!(error instanceof OciClientError)) throw error;
    throw new OciClientError("config_invalid", `${error.message} (${path})`, { cause: error });
  }
}

async function readIdentity({ ca, cert, key }: TlsFiles, base: string, from: string): Promise<TlsIdentity> {
  const read = async (path: string): Promise<string> => {
    return readFile(resolve(base, path), "utf8").catch((error: unknown) => {
      const message = `cannot read ${quote(path)}, which ${from} names: ${error instanceof Error ? error.message : "unreadable"}`;
      throw new OciClientError("config_invalid", message, { cause: error });
    });
  };
  return {
    ...(ca !== undefined && { ca: await Promise.all(ca.map(read)) }),
    ...(cert !== undefined && { cert: await read(cert) }),
    ...(key !== undefined && { key: await read(key) }),
  };
}

function absent(error: unknown): undefined {
  if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
    return undefined;
  throw error;
}
