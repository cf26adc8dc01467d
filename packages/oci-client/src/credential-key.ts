import type { CredentialTarget } from "./credentials.js";
import { DOCKER_HUB } from "./host.js";

/** What Docker files the Hub's credentials under. */
export const DOCKER_HUB_KEY = "https://index.docker.io/v1/";

/** What a key in a credentials file is about. */
export interface CredentialKey {
  /** Given only by the old form, a URL: `https://index.docker.io/v1/`. */
  readonly scheme: "http" | "https" | undefined;
  /** In lower case, with the port if the key has one. Docker Hub by any of its names is `docker.io`. */
  readonly host: string;
  /** The repositories that it is for: all below this path; empty for the whole registry. */
  readonly path: string;
}

const KEY = /^(?:(https?):\/\/)?([^/\s@]{1,512})(\/[^\s]{0,1024})?$/i;
const API_PATH = /^\/(?:v[12]\/?)?$/;
const HUB_HOSTS: ReadonlySet<string> = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"]);

/** Reads a key of `auths` or `credHelpers`; undefined for what is none. */
export function parseCredentialKey(key: string): CredentialKey | undefined {
  const match = KEY.exec(key);
  if (match === null) return undefined;
  const [, scheme, host = "", path = ""] = match;
  const lower = host.toLowerCase();
  // The old form names the API's address, whose path is not a repository's. "host/v1" without an end is one.
  const isApi = scheme !== undefined || (path.endsWith("/") && API_PATH.test(path));
  return {
    scheme: scheme?.toLowerCase() as CredentialKey["scheme"],
    host: HUB_HOSTS.has(lower) ? DOCKER_HUB : lower,
    path: isApi ? "" : path.replaceAll(/^\/|\/$/g, ""),
  };
}

/**
 * The key that says most about a target: the longest path that its repository is below, whole components only. Of two that say the same,
 * the one without a scheme. A key with a scheme is for that scheme alone.
 */
export function matchCredentialKey(keys: Iterable<string>, target: CredentialTarget): string | undefined {
  let best: { text: string; rank: number } | undefined;
  for (const text of keys) {
    const key = parseCredentialKey(text);
    if (key === undefined || !isFor(key, target)) continue;
    const rank = key.path.length * 2 + (key.scheme === undefined ? 1 : 0);
    if (best === undefined || rank > best.rank) best = { text, rank };
  }
  return best?.text;
}

function isFor({ scheme, host, path }: CredentialKey, { registry, repository, origin }: CredentialTarget): boolean {
  const { protocol } = new URL(origin);
  if (scheme !== undefined && `${scheme}:` !== protocol) return false;
  const address = `${protocol}//${host}`;
  const name = URL.canParse(address) ? new URL(address).host : host;
  if (name !== registry) return false;
  return path === "" || repository === path || repository.startsWith(`${path}/`);
}
