import type { CallOptions } from "@lamella/refs";

import { basicAuthorization } from "./basic-authorization.js";
import type { Challenge } from "./challenge.js";
import type { Credentials, CredentialTarget } from "./credentials.js";
import { OciClientError } from "./errors.js";
import type { Wire } from "./exchange.js";
import type { PlainHttp } from "./host.js";
import type { RetryPolicy } from "./retry.js";
import { coversScopes, mergeScopes, parseScopes, type Scope } from "./scope.js";
import { createSingleFlight } from "./single-flight.js";
import { fetchToken } from "./token.js";

export interface AuthorizerOptions {
  readonly wire: Wire;
  readonly registry: URL;
  readonly target: CredentialTarget;
  readonly credentials: Credentials;
  readonly plainHttp: PlainHttp;
  readonly userAgent: string;
  readonly now: RetryPolicy["now"];
}

interface AccessRequest extends CallOptions {
  /** What the request must be allowed, merged. */
  readonly scopes: readonly Scope[];
  readonly act: string;
}

interface Refusal {
  /** Those of the registry's own 401. */
  readonly challenges: readonly Challenge[];
  /** What was sent in vain. */
  readonly authorization: string | undefined;
}

/**
 * The `authorization` of requests to one registry for one repository. Nothing is sent unasked: the first request goes without, and what
 * answers its challenge goes with all that follow. Tokens are kept by scope until their end; callers that need the same at the same time
 * share one request for it.
 */
export interface Authorizer {
  /** What to send at first. A token that has ended is renewed before it is refused: a body that streams can be sent only once. */
  current(access: AccessRequest): Promise<string | undefined>;
  /** What to send once more after a 401; undefined when there is nothing else to send. */
  renew(access: AccessRequest, refusal: Refusal): Promise<string | undefined>;
}

interface Grant {
  readonly challenge: Challenge;
  readonly scopes: readonly Scope[];
  readonly authorization: string;
  readonly endsAt: number;
}

/** Tokens of so many repositories are kept; of the one used longest ago they are forgotten first. */
const MAX_AUTHORIZERS = 256;

/** Pull, push and delete, and a mount from each of so many repositories; the oldest is forgotten first. */
const MAX_GRANTS = 64;
const VISIBLE = /^[\x21-\x7e]+$/;

export function createAuthorizer(options: AuthorizerOptions): Authorizer {
  const { credentials, target, now } = options;
  const grants = new Map<string, Grant>();
  const flights = createSingleFlight<string | undefined>();
  const realmsWithoutPost = new Set<string>();
  let fixed: string | undefined;

  function validGrant(scopes: readonly Scope[]): Grant | undefined {
    const time = now();
    return [...grants.values()].find((grant) => grant.endsAt > time && coversScopes(grant.scopes, scopes));
  }

  async function current(access: AccessRequest): Promise<string | undefined> {
    const valid = validGrant(access.scopes);
    if (valid !== undefined) return valid.authorization;
    const ended = grants.get(keyOf(access.scopes));
    if (ended === undefined) return fixed;
    return share(access, (shared) => requestGrant(shared, ended.challenge, ended.scopes));
  }

  async function renew(access: AccessRequest, refusal: Refusal): Promise<string | undefined> {
    // Another request was refused earlier and has got what this one needs.
    const known = validGrant(access.scopes)?.authorization ?? fixed;
    if (known !== undefined && known !== refusal.authorization) return known;
    const renewed = await share(access, (shared) => answer(shared, refusal));
    return renewed === refusal.authorization ? undefined : renewed;
  }

  function share(
    access: AccessRequest,
    work: (access: AccessRequest) => Promise<string | undefined>,
  ): Promise<string | undefined> {
    return flights.run(keyOf(access.scopes), (signal) => work({ ...access, signal }), access);
  }

  async function answer(access: AccessRequest, { challenges, authorization }: Refusal): Promise<string | undefined> {
    if (authorization === fixed) fixed = undefined;
    // Ended rather than gone: requests that come meanwhile wait for the new one.
    for (const [key, grant] of grants) {
      if (grant.authorization === authorization) grants.set(key, { ...grant, endsAt: -Infinity });
    }
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    const basic = challenges.find(({ scheme }) => scheme === "basic");
    if (bearer !== undefined && (basic === undefined || bearer.parameters.has("realm"))) {
      const asked = parseScopes(bearer.parameters.get("scope"));
      return requestGrant(access, bearer, mergeScopes([...asked, ...access.scopes]));
    }
    grants.delete(keyOf(access.scopes));
    if (basic === undefined) return undefined;
    const credential = await credentials.lookup(target, { signal: access.signal });
    if (credential?.kind !== "basic") return undefined;
    fixed = basicAuthorization(credential);
    return fixed;
  }

  async function requestGrant(
    access: AccessRequest,
    challenge: Challenge,
    scopes: readonly Scope[],
  ): Promise<string | undefined> {
    const key = keyOf(access.scopes);
    try {
      const credential = await credentials.lookup(target, { signal: access.signal });
      if (credential?.kind === "bearer") {
        grants.delete(key);
        fixed = bearerAuthorization(credential.token);
        return fixed;
      }
      const { wire, plainHttp, registry, userAgent } = options;
      const startedAt = now();
      const request = { ...access, registry, challenge, scopes, credential, realmsWithoutPost, userAgent };
      const { value, lifeMs } = await fetchToken(wire, plainHttp, request);
      const grant = { challenge, scopes, authorization: `Bearer ${value}`, endsAt: startedAt + lifeMs };
      const [oldest] = grants.keys();
      if (grants.size >= MAX_GRANTS && oldest !== undefined) grants.delete(oldest);
      grants.set(key, grant);
      return grant.authorization;
    } catch (error) {
      // The next request goes without, and learns from its challenge what is wanted now.
      grants.delete(key);
      throw error;
    }
  }

  return { current, renew };
}

/** Authorizers by origin and repository: whoever opens a repository again need not ask for tokens again. */
export type AuthorizerCache = Map<string, Authorizer>;

export function authorizerFor(cache: AuthorizerCache, options: AuthorizerOptions): Authorizer {
  const key = `${options.target.origin} ${options.target.repository}`;
  const authorizer = cache.get(key) ?? createAuthorizer(options);
  cache.delete(key);
  cache.set(key, authorizer);
  const [oldest] = cache.keys();
  if (cache.size > MAX_AUTHORIZERS && oldest !== undefined) cache.delete(oldest);
  return authorizer;
}

/** @throws {OciClientError} `credentials_invalid` */
function bearerAuthorization(token: string): string {
  if (VISIBLE.test(token)) return `Bearer ${token}`;
  throw new OciClientError("credentials_invalid", "cannot use a registry's token: it has characters that none has");
}

function keyOf(scopes: readonly Scope[]): string {
  return [...scopes].sort().join(" ");
}
