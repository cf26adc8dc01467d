import { type CallOptions, quote } from "@lamella/refs";

import { type CredentialHelperOptions, eraseFromHelper, storeInHelper } from "./credential-helper.js";
import { DOCKER_HUB_KEY, parseCredentialKey } from "./credential-key.js";
import type { Credential, CredentialTarget } from "./credentials.js";
import { helperServer } from "./credentials-file.js";
import { type DockerConfig, helperFor, toEntry, withEntry } from "./docker-config.js";
import { readDockerConfig, writeDockerConfig } from "./docker-config-file.js";
import { OciClientError } from "./errors.js";
import { DOCKER_HUB } from "./host.js";

/** Where a login keeps its credential: a file, or a helper without any file. */
export type CredentialPlace = { readonly path: string } | { readonly helper: string };

export interface CredentialStoreOptions extends CallOptions {
  /** What helpers run with. Default: this process's environment. */
  env?: CredentialHelperOptions["env"];
}

/**
 * Keeps a credential for a registry, `ghcr.io`, or for what is below a path, `quay.io/team`, in place of the one before. When the file names
 * a helper for the registry, that keeps the secret and the file only notes the registry, as Docker does. The file becomes readable by its
 * owner only; all else that it holds stays.
 * @throws {OciClientError} `address_invalid`, `credentials_invalid`, `helper_failed`, `too_large`; the signal's reason
 */
export async function storeCredential(
  registry: string,
  credential: Credential,
  { signal, env = process.env, ...place }: CredentialPlace & CredentialStoreOptions,
): Promise<void> {
  signal?.throwIfAborted();
  const { key, target, isWhole } = addressOf(registry);
  const server = helperServer(target.registry);
  if ("helper" in place) return storeInHelper(place.helper, server, { credential, env, signal });
  const config = await configAt(place.path, signal);
  const helper = isWhole ? helperFor(config, target) : undefined;
  const entry = helper === undefined ? toEntry(credential) : {};
  if (helper !== undefined) await storeInHelper(helper, server, { credential, env, signal });
  await writeDockerConfig(withEntry(config, key, entry), { signal });
}

/**
 * Forgets what is kept for a registry, in the file and in the helper that it names. False when there was nothing in the file.
 * @throws {OciClientError} `address_invalid`, `credentials_invalid`, `helper_failed`, `too_large`; the signal's reason
 */
export async function eraseCredential(
  registry: string,
  { signal, env = process.env, ...place }: CredentialPlace & CredentialStoreOptions,
): Promise<boolean> {
  signal?.throwIfAborted();
  const { key, target, isWhole } = addressOf(registry);
  const server = helperServer(target.registry);
  if ("helper" in place) {
    await eraseFromHelper(place.helper, server, { env, signal });
    return true;
  }
  const config = await configAt(place.path, signal);
  const helper = isWhole ? helperFor(config, target) : undefined;
  if (helper !== undefined) await eraseFromHelper(helper, server, { env, signal });
  const without = withEntry(config, key, undefined);
  if (countEntries(without) === countEntries(config)) return false;
  await writeDockerConfig(without, { signal });
  return true;
}

async function configAt(path: string, signal: AbortSignal | undefined): Promise<DockerConfig> {
  return (await readDockerConfig(path, { signal })) ?? { path, fields: new Map() };
}

/** The key to keep a registry's credential under: Docker Hub's is the one that every tool reads. */
function addressOf(registry: string): { key: string; target: CredentialTarget; isWhole: boolean } {
  const address = parseCredentialKey(registry);
  const isHost = address !== undefined && URL.canParse(`https://${address.host}`);
  if (!isHost) {
    throw new OciClientError("address_invalid", `cannot keep credentials for ${quote(registry)}: it names no registry`);
  }
  const { host, path } = address;
  const isWhole = path === "";
  const key = host === DOCKER_HUB && isWhole ? DOCKER_HUB_KEY : isWhole ? host : `${host}/${path}`;
  return { key, target: { registry: host, repository: path, origin: `https://${host}` }, isWhole };
}

function countEntries({ fields }: DockerConfig): number {
  return Object.keys(fields.get("auths") ?? {}).length;
}
