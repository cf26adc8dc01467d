import { randomBytes } from "node:crypto";

import { createTokenAuthority, equalSecrets } from "@lamella/registry";
import type { Accounts, Authorize } from "@lamella/registry";
import type { MiddlewareHandler } from "hono";

import { refuse } from "./refusal.js";

/** Asks for the token: as `Authorization: Bearer TOKEN` everywhere, for the registry also as the password of any name. */
export interface TokenGuard {
  /** Of an address where the token is needed: passes on those who show it, those who want the page or a probe, and the registry's clients, whom it asks itself. */
  readonly ask: MiddlewareHandler;
  /** Of an address where it is not: everybody is as welcome as if they had shown it. */
  readonly welcome: MiddlewareHandler;
  /** For the registry. */
  readonly authorize: Authorize;
  /** What registry clients get their short-lived tokens from, at {@link TOKEN_PATH}. */
  readonly answer: (request: Request) => Promise<Response>;
}

export const TOKEN_PATH = "/token";

const SERVICE = "lamellad";
const SECRET_BYTES = 32;

export function createTokenGuard(token: string): TokenGuard {
  const accounts: Accounts = {
    async knows({ password }, { signal } = {}) {
      signal?.throwIfAborted();
      return equalSecrets(password, token);
    },
    permits: (username) => username !== undefined,
  };
  const authority = createTokenAuthority({
    accounts,
    // of one run: its tokens live for minutes
    secret: randomBytes(SECRET_BYTES),
    service: SERVICE,
    realm: (request) => new URL(TOKEN_PATH, request.url).href,
  });
  const welcomed = new WeakSet<Request>();

  return {
    async ask(c, next) {
      const [, given] = /^bearer +(\S+) *$/i.exec(c.req.header("Authorization") ?? "") ?? [];
      if (given !== undefined && (await equalSecrets(given, token))) welcomed.add(c.req.raw);
      else if (!isOpen(c.req.method, c.req.path) && !isRegistry(c.req.path)) {
        const detail = `cannot ${c.req.method} here: it takes the token of this daemon as Authorization: Bearer TOKEN`;
        const challenge = { "WWW-Authenticate": `Bearer realm="${SERVICE}"` };
        return refuse(401, { code: "unauthorized", title: "Unauthorized", detail }, challenge);
      }
      return next();
    },
    welcome(c, next) {
      welcomed.add(c.req.raw);
      return next();
    },
    authorize: async (request, wanted) => (welcomed.has(request) ? undefined : authority.authorize(request, wanted)),
    answer: authority.answer,
  };
}

/** What says nothing of the store: the page, which asks for the token itself, and whether the daemon is well. */
function isOpen(method: string, path: string): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  return path === "/" || path.startsWith("/assets/") || path === "/healthz" || path === "/readyz";
}

/** Its clients have schemes of their own, and answer only to challenges that they understand. */
function isRegistry(path: string): boolean {
  return path === "/v2" || path.startsWith("/v2/") || path === TOKEN_PATH;
}
