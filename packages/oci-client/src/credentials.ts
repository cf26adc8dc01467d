import type { CallOptions } from "@lamella/refs";

import { matchCredentialKey } from "./credential-key.js";

/** A name and its password, or what a registry calls an access token and takes in its place. */
export interface BasicCredential {
  readonly kind: "basic";
  readonly username: string;
  readonly password: string;
}

/** An OAuth2 refresh token: never shown to the registry, only to its token server. */
export interface IdentityCredential {
  readonly kind: "identity";
  readonly token: string;
}

/** A bearer token that the registry takes as it is. */
export interface BearerCredential {
  readonly kind: "bearer";
  readonly token: string;
}

export type Credential = BasicCredential | IdentityCredential | BearerCredential;

/** Whom a credential is for. */
export interface CredentialTarget {
  /** The registry as references name it: `docker.io`, `ghcr.io`, `127.0.0.1:5000`. A scheme's default port is left out. */
  readonly registry: string;
  /** `library/alpine` */
  readonly repository: string;
  /** Scheme, host and port that a credential will be sent to: `https://registry-1.docker.io`. */
  readonly origin: string;
}

/**
 * Where a client finds credentials. It asks when a registry wants them, not before, and again for each token, so that what changes is
 * seen. What it is given goes to the registry's origin or, when that names one, to its token server, and nowhere else.
 */
export interface Credentials {
  /** The credential for a target; undefined when there is none, which makes the client go on anonymously. */
  lookup(target: CredentialTarget, options?: CallOptions): Promise<Credential | undefined>;
}

/** No credentials at all. */
export function anonymousCredentials(): Credentials {
  return {
    async lookup(_, { signal } = {}) {
      signal?.throwIfAborted();
      return undefined;
    },
  };
}

/**
 * Credentials by registry: `{ "ghcr.io": { kind: "basic", … } }`. A key may go on with a path, `quay.io/team`, and is then for the
 * repositories below it; the longest key that fits wins.
 */
export function staticCredentials(byRegistry: Readonly<Record<string, Credential>>): Credentials {
  const entries = new Map(Object.entries(byRegistry));
  return {
    async lookup(target, { signal } = {}) {
      signal?.throwIfAborted();
      const key = matchCredentialKey(entries.keys(), target);
      return key === undefined ? undefined : entries.get(key);
    },
  };
}

/** Asks each in turn; the first that has a credential gives it. An error of one is not passed over. */
export function chainCredentials(sources: readonly Credentials[]): Credentials {
  return {
    async lookup(target, options = {}) {
      options.signal?.throwIfAborted();
      for (const source of sources) {
        const credential = await source.lookup(target, options);
        if (credential !== undefined) return credential;
      }
      return undefined;
    },
  };
}
