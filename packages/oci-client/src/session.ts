import { formatReference, type Reference } from "@lamella/refs";

import { type AuthorizerCache, authorizerFor } from "./authorization.js";
import { type Challenge, parseChallenges } from "./challenge.js";
import type { Credentials } from "./credentials.js";
import { OciClientError } from "./errors.js";
import type { ExchangeRequest, Wire } from "./exchange.js";
import { DOCKER_HUB, type PlainHttp, refusalOf, registryUrl } from "./host.js";
import { showUrl } from "./redaction.js";
import { type FollowedResponse, followRedirects } from "./redirect.js";
import { responseError } from "./response-error.js";
import type { RetryPolicy } from "./retry.js";
import { mergeScopes, repositoryScope, type Scope } from "./scope.js";
import { withoutSecrets } from "./token.js";

/** What all repositories of a client share. */
export interface ClientContext extends Wire {
  readonly plainHttp: PlainHttp;
  readonly retry: RetryPolicy;
  readonly userAgent: string;
  readonly credentials: Credentials;
  readonly authorizers: AuthorizerCache;
  /** Whether foreign layers are looked for at their own `urls`, too. */
  readonly foreignUrls: boolean;
}

interface SessionRequest extends Omit<ExchangeRequest, "headers" | "url" | "act"> {
  /** Below `/v2/<repository>/`, or an address that the registry itself gave. */
  readonly target: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** No credential is sent, wherever the request goes. */
  readonly isAnonymous?: boolean;
  /** What is being done, without the repository: "read blob sha256:…". */
  readonly verb: string;
  /** What a token must allow. */
  readonly access: "pull" | "push" | "delete";
  /** What a token must allow beyond this repository: to mount from another one, to list the catalog. */
  readonly scopes?: readonly Scope[];
  /** The statuses that are an answer; any other is thrown as an error. */
  readonly statuses: readonly number[];
}

const ACTIONS = { pull: ["pull"], push: ["pull", "push"], delete: ["delete"] } as const;

/** Requests on one repository of one registry, or with an empty path on the registry itself, with the authorization that it asks for. */
export interface Session {
  readonly context: ClientContext;
  readonly registry: URL;
  /** The repository's: `library/alpine`; empty for requests on the registry as a whole. */
  readonly path: string;
  /** For messages: "read blob sha256:… in ghcr.io/a/b". */
  act(verb: string): string;
  /** One try. The body of the answer must be iterated or discarded. */
  send(request: SessionRequest): Promise<FollowedResponse>;
}

export interface SessionOptions {
  /** The registry that a mirror stands in for, for mirrors of several: sent as `ns`, as containerd does. */
  readonly namespace?: string | undefined;
}

export function openSession(
  context: ClientContext,
  registry: URL,
  repository: Pick<Reference, "domain" | "path">,
  { namespace }: SessionOptions = {},
): Session {
  const { domain, path } = repository;
  const name = path === "" ? domain : formatReference({ domain, path });
  const authorizer = authorizerFor(context.authorizers, {
    wire: context,
    registry,
    target: { registry: nameOf(registry, context.plainHttp), repository: repository.path, origin: registry.origin },
    credentials: context.credentials,
    plainHttp: context.plainHttp,
    userAgent: context.userAgent,
    now: context.retry.now,
  });

  function act(verb: string): string {
    return `${verb} in ${name}`;
  }

  async function send(request: SessionRequest): Promise<FollowedResponse> {
    const { target, isAnonymous = false, headers, verb, access, scopes = [], statuses, ...rest } = request;
    const url = target instanceof URL ? target : new URL(`/v2/${repository.path}/${target}`, registry);
    if (namespace !== undefined && typeof target === "string") url.searchParams.set("ns", namespace);
    const isLed = url.origin !== registry.origin;
    const isOwn = !isLed && !isAnonymous;
    if (!isOwn) checkTarget(url, verb);
    const common = { "accept-encoding": "identity", "user-agent": context.userAgent, ...headers };
    const attempt = (authorization: string | undefined): Promise<FollowedResponse> => {
      const headers = authorization === undefined ? common : { ...common, authorization };
      return followRedirects(context, { ...rest, url, isLed, headers, act: act(verb) }, context.plainHttp);
    };

    const own = repository.path === "" ? [] : [repositoryScope(repository.path, ACTIONS[access])];
    const wanted = mergeScopes([...own, ...scopes]);
    const need = { scopes: wanted, act: act(verb), signal: request.signal };
    let authorization = isOwn ? await authorizer.current(need) : undefined;
    let response = await attempt(authorization);
    for (let isRenewed = false; !statuses.includes(response.status); isRenewed = true) {
      const error = withoutSecrets(await responseError(response, act(verb)), secretsOf(authorization));
      request.signal?.throwIfAborted();
      // Only the registry itself may ask for a credential, not a host that it sent us on to.
      const isAsked = response.status === 401 && isOwn && response.url.origin === registry.origin;
      const challenges = parseChallenges(response.headers.get("www-authenticate") ?? "");
      if (isAsked && isRenewed && error instanceof OciClientError && challenges.some(isForWantOfRights)) {
        throw asDenied(error);
      }
      if (!isAsked || isRenewed || !canRepeat(request)) throw error;
      const renewed = await authorizer.renew(need, { challenges, authorization });
      if (renewed === undefined) throw error;
      authorization = renewed;
      response = await attempt(authorization);
    }
    return response;
  }

  /** An address that the registry gave passes the same guard as a redirect. */
  function checkTarget(url: URL, verb: string): void {
    const refusal = refusalOf(registry, url, context.plainHttp);
    if (refusal === undefined) return;
    const state = `${registry.origin} is not followed, it points to ${showUrl(url)}: ${refusal}`;
    throw new OciClientError("redirect_refused", `cannot ${act(verb)}: ${state}`);
  }

  return { context, registry, path: repository.path, act, send };
}

function canRepeat({ body }: SessionRequest): boolean {
  return body === undefined || body instanceof Uint8Array;
}

/** What its credentials are kept under: the host, which for Docker Hub is not where its registry is. */
function nameOf(registry: URL, plainHttp: PlainHttp): string {
  return registry.host === registryUrl(DOCKER_HUB, plainHttp).host ? DOCKER_HUB : registry.host;
}

function secretsOf(authorization: string | undefined): string[] {
  return authorization === undefined ? [] : [authorization.slice(authorization.indexOf(" ") + 1)];
}

/** A token was accepted as one, but does not allow the act (RFC 6750, section 3.1). */
function isForWantOfRights({ parameters }: Challenge): boolean {
  return parameters.get("error") === "insufficient_scope";
}

function asDenied(error: OciClientError): OciClientError {
  return new OciClientError("denied", error.message, { status: error.status, cause: error });
}
