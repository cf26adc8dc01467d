import { formatReference, type Reference } from "@lamella/refs";

import { discard } from "./body.js";
import { parseChallenges } from "./challenge.js";
import type { ExchangeRequest, Wire } from "./exchange.js";
import type { PlainHttp } from "./host.js";
import { type FollowedResponse, followRedirects } from "./redirect.js";
import { responseError } from "./response-error.js";
import type { RetryPolicy } from "./retry.js";
import { fetchToken, type Token } from "./token.js";

/** What all repositories of a client share. */
export interface ClientContext extends Wire {
  readonly plainHttp: PlainHttp;
  readonly retry: RetryPolicy;
  readonly userAgent: string;
}

interface SessionRequest extends Omit<ExchangeRequest, "headers" | "url" | "act"> {
  /** Below `/v2/<repository>/`, or an address that the registry itself gave. */
  readonly target: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** What is being done, without the repository: "read blob sha256:…". */
  readonly verb: string;
  /** What a token must allow. */
  readonly access: "pull" | "push";
  /** The statuses that are an answer; any other is thrown as an error. */
  readonly statuses: readonly number[];
}

/** Requests on one repository of one registry. Holds the tokens that were given for it. */
export interface Session {
  readonly context: ClientContext;
  readonly registry: URL;
  /** For messages: "read blob sha256:… in ghcr.io/a/b". */
  act(verb: string): string;
  /** One try. The body of the answer must be iterated or discarded. */
  send(request: SessionRequest): Promise<FollowedResponse>;
}

export function openSession(
  context: ClientContext,
  registry: URL,
  repository: Pick<Reference, "domain" | "path">,
): Session {
  const name = formatReference({ domain: repository.domain, path: repository.path });
  const tokens = new Map<SessionRequest["access"], Token>();

  function act(verb: string): string {
    return `${verb} in ${name}`;
  }

  async function send(request: SessionRequest): Promise<FollowedResponse> {
    const { target, headers, verb, access, statuses, ...rest } = request;
    const url = target instanceof URL ? target : new URL(`/v2/${repository.path}/${target}`, registry);
    const common = { "accept-encoding": "identity", "user-agent": context.userAgent, ...headers };
    const attempt = (token: string | undefined): Promise<FollowedResponse> => {
      const headers = token === undefined ? common : { ...common, authorization: `Bearer ${token}` };
      return followRedirects(context, { ...rest, url, headers, act: act(verb) }, context.plainHttp);
    };

    let response = await attempt(knownToken(access));
    if (response.status === 401 && canRepeat(request)) {
      const token = await renewToken(response, request);
      if (token !== undefined) response = await attempt(token);
    }
    if (statuses.includes(response.status)) return response;
    const error = await responseError(response, act(verb));
    request.signal?.throwIfAborted();
    throw error;
  }

  function knownToken(access: SessionRequest["access"]): string | undefined {
    const token = tokens.get(access);
    return token === undefined || token.expiresAt <= Date.now() ? undefined : token.value;
  }

  /** Only the registry itself may ask for a token, not a host that it sent us on to. */
  async function renewToken(
    response: FollowedResponse,
    { access, verb, signal }: SessionRequest,
  ): Promise<string | undefined> {
    const header = response.headers.get("www-authenticate") ?? "";
    const challenge = parseChallenges(header).find(({ scheme }) => scheme === "bearer");
    if (challenge === undefined || response.url.origin !== registry.origin) return undefined;
    await discard(response.body);
    tokens.delete(access);
    const { userAgent, plainHttp } = context;
    const token = await fetchToken(context, plainHttp, { registry, challenge, userAgent, act: act(verb), signal });
    tokens.set(access, token);
    return token.value;
  }

  return { context, registry, act, send };
}

function canRepeat({ body }: SessionRequest): boolean {
  return body === undefined || body instanceof Uint8Array;
}
