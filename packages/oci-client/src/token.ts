import { type CallOptions, quote } from "@lamella/refs";

import { readBody } from "./body.js";
import type { Challenge } from "./challenge.js";
import { OciClientError } from "./errors.js";
import type { Wire } from "./exchange.js";
import { type PlainHttp, refusalOf } from "./host.js";
import { followRedirects } from "./redirect.js";
import { responseError } from "./response-error.js";

/** A bearer token and when it ends. */
export interface Token {
  readonly value: string;
  /** On the clock of `Date.now`, in milliseconds. */
  readonly expiresAt: number;
}

export interface TokenRequest extends CallOptions {
  /** The registry that asked for a token; the realm is judged against it. */
  readonly registry: URL;
  readonly challenge: Challenge;
  readonly userAgent: string;
  readonly act: string;
}

const MAX_TOKEN_BYTES = 1024 * 1024;
const VISIBLE = /^[\x21-\x7e]+$/;

/** The specification's default when the answer does not say how long a token lives. */
const DEFAULT_LIFE_S = 60;
const EARLY_S = 5;

/**
 * Gets an anonymous token from the realm of a Bearer challenge (Distribution, "Token Authentication").
 * @throws {OciClientError} `insecure` when the realm is not HTTPS, or leads where the registry must not send a client; `unauthorized`,
 * `protocol`, `too_large`, and those of an exchange
 */
export async function fetchToken(wire: Wire, plainHttp: PlainHttp, request: TokenRequest): Promise<Token> {
  const { act, signal } = request;
  const url = realmOf(request, plainHttp);
  const headers = { accept: "application/json", "user-agent": request.userAgent };
  const response = await followRedirects(wire, { method: "GET", url, headers, act, signal }, plainHttp);
  if (response.status !== 200) throw await responseError(response, act);
  return parseToken(await readBody(response.body, { limitBytes: MAX_TOKEN_BYTES, act }), act);
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
  const service = challenge.parameters.get("service");
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of challenge.parameters.get("scope")?.split(" ").filter(Boolean) ?? []) {
    url.searchParams.append("scope", scope);
  }
  return url;
}

function parseToken(bytes: Uint8Array, act: string): Token {
  const answer = parseObject(bytes);
  const value = answer?.get("token") ?? answer?.get("access_token");
  if (typeof value !== "string" || !VISIBLE.test(value)) {
    throw new OciClientError("protocol", `cannot ${act}: the token server's answer holds no token`);
  }
  const life = answer?.get("expires_in");
  const lifeS = typeof life === "number" && life > 0 ? life : DEFAULT_LIFE_S;
  return { value, expiresAt: Date.now() + (lifeS - EARLY_S) * 1000 };
}

function parseObject(bytes: Uint8Array): ReadonlyMap<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null ? new Map(Object.entries(value)) : undefined;
  } catch {
    return undefined;
  }
}
