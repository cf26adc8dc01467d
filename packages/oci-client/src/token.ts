import { type CallOptions, quote } from "@lamella/refs";

import { readBody } from "./body.js";
import type { Challenge } from "./challenge.js";
import type { BasicCredential, IdentityCredential } from "./credentials.js";
import { basicAuthorization } from "./basic-authorization.js";
import { OciClientError } from "./errors.js";
import type { ExchangeRequest, Wire } from "./exchange.js";
import { type PlainHttp, refusalOf } from "./host.js";
import { isTransient } from "./network-error.js";
import { redactSecrets } from "./redaction.js";
import { type FollowedResponse, followRedirects } from "./redirect.js";
import { responseError } from "./response-error.js";
import type { Scope } from "./scope.js";

/** A bearer token and how long it may be used. */
export interface Token {
  readonly value: string;
  /** From before it was asked for, so that no clock but the own one counts. */
  readonly lifeMs: number;
}

export interface TokenRequest extends CallOptions {
  /** The registry that asked for a token; the realm is judged against it. */
  readonly registry: URL;
  readonly challenge: Challenge;
  readonly scopes: readonly Scope[];
  /** Without one, the token is anonymous. */
  readonly credential: BasicCredential | IdentityCredential | undefined;
  /** Realms that are known to take no POST; one more is noted here. */
  readonly realmsWithoutPost: Set<string>;
  readonly userAgent: string;
  readonly act: string;
}

const MAX_TOKEN_BYTES = 1024 * 1024;
const VISIBLE = /^[\x21-\x7e]+$/;

/** The specification's default when the answer does not say how long a token lives. */
const DEFAULT_LIFE_S = 60;
const MAX_LIFE_S = 24 * 60 * 60;
const EARLY_S = 5;

const CLIENT_ID = "lamella";

/** How token servers say that they know no POST: 404 and 405, but also 400 (Azure's) and 401 (Artifactory's). */
const NO_POST: ReadonlySet<number> = new Set([400, 401, 404, 405]);

/**
 * Gets a token from the realm of a Bearer challenge: with OAuth2's POST when there is a credential, and with GET and Basic where the realm
 * takes no POST or there is none (Distribution, "Token Authentication" and "OAuth2 Token Authentication").
 *
 * The realm is the registry's own choice and may be another host. It gets the credential because the registry itself, not a host that it
 * redirected to, named it, and only over HTTPS, or over plain HTTP where the caller allows that and the registry is not HTTPS itself.
 * @throws {OciClientError} `insecure` when the realm is not HTTPS, or leads where the registry must not send a client; `unauthorized`,
 * `denied`, `protocol`, `too_large`, and those of an exchange
 */
export async function fetchToken(wire: Wire, plainHttp: PlainHttp, request: TokenRequest): Promise<Token> {
  const realm = realmOf(request, plainHttp);
  const { act, credential } = request;
  const secrets = credential === undefined ? [] : secretsOf(credential);
  try {
    const response = await ask(request, realm, (exchange) => followRedirects(wire, exchange, plainHttp));
    if (response.status !== 200) throw await refusal(response, act);
    return parseToken(await readBody(response.body, { limitBytes: MAX_TOKEN_BYTES, act }), act);
  } catch (error) {
    throw withoutSecrets(error, secrets);
  }
}

async function ask(
  request: TokenRequest,
  realm: URL,
  send: (request: ExchangeRequest) => Promise<FollowedResponse>,
): Promise<FollowedResponse> {
  const { act, signal, credential, realmsWithoutPost } = request;
  const isLed = realm.host !== request.registry.host;
  const headers = { accept: "application/json", "accept-encoding": "identity", "user-agent": request.userAgent };
  if (credential !== undefined && !realmsWithoutPost.has(realm.href)) {
    const body = new TextEncoder().encode(grantOf(request, credential).toString());
    const type = { "content-type": "application/x-www-form-urlencoded", "content-length": String(body.byteLength) };
    const posted = { ...headers, ...type };
    const response = await send({ method: "POST", url: realm, isLed, headers: posted, body, act, signal });
    if (credential.kind === "identity" || !NO_POST.has(response.status)) return response;
    await response.body[Symbol.asyncIterator]().return?.();
    realmsWithoutPost.add(realm.href);
  }
  const authorization = credential?.kind === "basic" && { authorization: basicAuthorization(credential) };
  const url = withQuery(realm, request);
  return send({ method: "GET", url, isLed, headers: { ...headers, ...authorization }, act, signal });
}

function realmOf({ registry, challenge, act }: TokenRequest, plainHttp: PlainHttp): URL {
  const realm = challenge.parameters.get("realm");
  if (realm === undefined || !URL.canParse(realm)) {
    throw new OciClientError("protocol", `cannot ${act}: ${registry.origin} names no realm to get a token from`);
  }
  const url = new URL(realm);
  const refusal = refusalOf(registry, url, plainHttp);
  if (refusal !== undefined) {
    const state = `${registry.origin} sends to ${quote(url.origin)} for a token: ${refusal}`;
    throw new OciClientError("insecure", `cannot ${act}: ${state}`);
  }
  return url;
}

function withQuery(realm: URL, { challenge, scopes }: TokenRequest): URL {
  const url = new URL(realm);
  const service = challenge.parameters.get("service");
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  return url;
}

function grantOf(
  { challenge, scopes }: TokenRequest,
  credential: BasicCredential | IdentityCredential,
): URLSearchParams {
  const form = new URLSearchParams({ client_id: CLIENT_ID });
  const service = challenge.parameters.get("service");
  if (service !== undefined) form.set("service", service);
  if (scopes.length > 0) form.set("scope", scopes.join(" "));
  if (credential.kind === "identity") {
    form.set("grant_type", "refresh_token");
    form.set("refresh_token", credential.token);
  } else {
    form.set("grant_type", "password");
    form.set("username", credential.username);
    form.set("password", credential.password);
  }
  return form;
}

/** What a token server refuses is about the credential, whatever status it has for that: it must not pass for a missing image. */
async function refusal(response: FollowedResponse, act: string): Promise<OciClientError> {
  const error = await responseError(response, act);
  const isAboutCredential: boolean = response.status >= 400 && error.code !== "denied" && !isTransient(error);
  return isAboutCredential ? new OciClientError("unauthorized", error.message, { status: response.status }) : error;
}

function secretsOf(credential: BasicCredential | IdentityCredential): string[] {
  if (credential.kind === "identity") return [credential.token];
  return [credential.password, basicAuthorization(credential).slice("Basic ".length)];
}

/** The same error, unless its message repeats a secret. */
export function withoutSecrets(error: unknown, secrets: readonly string[]): unknown {
  if (!(error instanceof OciClientError)) return error;
  const message = redactSecrets(error.message, secrets);
  if (message === error.message) return error;
  const { code, status, retryAfterMs } = error;
  return new OciClientError(code, message, { status, retryAfterMs });
}

function parseToken(bytes: Uint8Array, act: string): Token {
  const answer = parseObject(bytes);
  const value = answer?.get("token") ?? answer?.get("access_token");
  if (typeof value !== "string" || !VISIBLE.test(value)) {
    throw new OciClientError("protocol", `cannot ${act}: the token server's answer holds no token`);
  }
  const life = answer?.get("expires_in");
  const lifeS = typeof life === "number" && life > 0 ? Math.min(life, MAX_LIFE_S) : DEFAULT_LIFE_S;
  return { value, lifeMs: (lifeS - EARLY_S) * 1000 };
}

function parseObject(bytes: Uint8Array): ReadonlyMap<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null ? new Map(Object.entries(value)) : undefined;
  } catch {
    return undefined;
  }
}
