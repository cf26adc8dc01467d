import type { Access, Authorize, Refusal } from "./access.js";
import { permitsAll } from "./accounts.js";
import type { Accounts, Login } from "./accounts.js";
import { parseBasic } from "./basic-login.js";
import { bodyOf, readUpTo } from "./body.js";
import { challengeOf } from "./challenge.js";
import { errorResponse, isExpected } from "./error-response.js";
import { RegistryError } from "./errors.js";
import { jsonResponse } from "./json-response.js";
import { withDefaults } from "./limits.js";
import { createTokenSigner } from "./token.js";
import type { TokenSigner } from "./token.js";
import { formatScope, parseScopes } from "./token-scope.js";

export interface TokenAuthorityOptions {
  readonly accounts: Accounts;
  /** Signs the tokens: 32 random bytes or more. Who has it can make tokens for everything. */
  readonly secret: Uint8Array;
  /** What the registry is called in challenges and tokens: a token of one service is none of another's. */
  readonly service: string;
  /** The absolute URL where clients get their tokens, for the address at which a request has come. */
  readonly realm: (request: Request) => string;
  /** What a token lives, 300 if not given; clients expect 60 at least. */
  readonly lifeSeconds?: number;
  /** The time in milliseconds. */
  readonly now?: () => number;
}

/** Both sides of Distribution's token authentication, in one process. */
export interface TokenAuthority {
  /** For `createRegistry`: takes the tokens, and Basic credentials as they are. */
  readonly authorize: Authorize;
  /**
   * Answers GET and POST at the realm: name and password by Basic or as a form (OAuth2's `password` grant), for a token that allows
   * what was asked for and is permitted. Refresh tokens are not given. Rejects only with the reason of the request's signal.
   */
  readonly answer: (request: Request) => Promise<Response>;
}

const FORM_MAX_BYTES = 16 << 10;

/**
 * The tokens that `docker login` and `docker push` ask for (Distribution, "Token Authentication Specification" and "OAuth2 Token
 * Authentication"). They are signed and short-lived, and nothing is kept of them: until its end a token outlives its account.
 *
 * Throws `secret_invalid`.
 */
export function createTokenAuthority(options: TokenAuthorityOptions): TokenAuthority {
  const { accounts, service, realm, lifeSeconds = 300, now = Date.now } = options;
  const signer = createTokenSigner(options.secret);
  const time = (): number => Math.floor(now() / 1000);

  const authorize: Authorize = async (request, wanted) => {
    const header = request.headers.get("authorization");
    const challenge = (error?: string): Refusal => {
      const scope = wanted === undefined ? undefined : formatScope(wanted);
      return {
        code: "unauthorized",
        challenge: challengeOf("Bearer", { realm: realm(request), service, scope, error }),
      };
    };
    const login = parseBasic(header);
    if (login !== undefined) {
      if (!(await accounts.knows(login, request))) return challenge();
      return permitsAll(accounts, login.username, wanted) ? undefined : { code: "denied" };
    }
    const [, token] = /^bearer +([\w.-]+) *$/i.exec(header ?? "") ?? [];
    if (token === undefined) return challenge();
    const claims = await signer.verify(token, time());
    if (claims?.aud !== service) return challenge("invalid_token");
    // 401 and not 403: it tells a client to get a token for this as well
    return covers(claims.access, wanted) ? undefined : challenge("insufficient_scope");
  };

  const answer = async (request: Request): Promise<Response> => {
    request.signal.throwIfAborted();
    try {
      const wish = await readWish(request);
      const { login } = wish;
      if (wish.service !== undefined && wish.service !== service) {
        throw new RegistryError("scope_invalid", "cannot give a token: it is asked for another service");
      }
      const isKnown = login !== undefined && (await accounts.knows(login, request));
      const username = isKnown ? login.username : undefined;
      const access = grant(accounts, username, parseScopes(wish.scopes));
      const isWelcome = isKnown || (login === undefined && access.some(({ actions }) => actions.length > 0));
      if (!isWelcome) {
        const error = new RegistryError("unauthorized", "cannot give a token: no such name and password");
        return errorResponse(error, { "WWW-Authenticate": challengeOf("Basic", { realm: service }) });
      }
      return await tokenResponse(signer, { username, access, service, lifeSeconds, now: time() });
    } catch (error) {
      request.signal.throwIfAborted();
      if (isExpected(error)) return errorResponse(error);
      throw error;
    }
  };

  return { authorize, answer };
}

interface Wish {
  readonly login: Login | undefined;
  readonly service: string | undefined;
  readonly scopes: readonly string[];
}

async function readWish(request: Request): Promise<Wish> {
  if (request.method === "GET") {
    const query = new URL(request.url).searchParams;
    const login = readLogin(request);
    return { login, service: query.get("service") ?? undefined, scopes: query.getAll("scope") };
  }
  if (request.method !== "POST") {
    throw new RegistryError("method_unsupported", `cannot ${request.method} a token: GET and POST get one`);
  }
  const bytes = await readUpTo(FORM_MAX_BYTES, bodyOf(request, withDefaults().pace));
  const form = new URLSearchParams(new TextDecoder().decode(bytes));
  const [username, password] = [form.get("username"), form.get("password")];
  if (form.get("grant_type") !== "password" || username === null || password === null) {
    throw new RegistryError("scope_invalid", "cannot give a token: only the grant of a name and a password is known");
  }
  return { login: { username, password }, service: form.get("service") ?? undefined, scopes: form.getAll("scope") };
}

/** Who says who they are and cannot be understood is not let in as nobody. */
function readLogin(request: Request): Login | undefined {
  const header = request.headers.get("authorization");
  if (header === null) return undefined;
  return parseBasic(header) ?? { username: "", password: "" };
}

/** What of the wanted is permitted: that less is, is no error. */
function grant(accounts: Accounts, username: string | undefined, wanted: readonly Access[]): Access[] {
  return wanted.map(({ type, name, actions }) => {
    return { type, name, actions: actions.filter((action) => accounts.permits(username, { type, name, action })) };
  });
}

function covers(granted: readonly Access[], wanted: Access | undefined): boolean {
  if (wanted === undefined) return true;
  const thing = granted.find(({ type, name }) => type === wanted.type && name === wanted.name);
  return thing !== undefined && wanted.actions.every((action) => thing.actions.includes(action));
}

interface Grant {
  readonly username: string | undefined;
  readonly access: readonly Access[];
  readonly service: string;
  readonly lifeSeconds: number;
  readonly now: number;
}

async function tokenResponse(signer: TokenSigner, given: Grant): Promise<Response> {
  const { username = "", access, service, lifeSeconds, now } = given;
  const ends = { iat: now, exp: now + lifeSeconds, jti: globalThis.crypto.randomUUID() };
  const token = await signer.sign({ iss: service, aud: service, sub: username, ...ends, access });
  const scope = access.map(formatScope).join(" ");
  const issued = { issued_at: new Date(now * 1000).toISOString(), expires_in: lifeSeconds, scope };
  return jsonResponse({ token, access_token: token, ...issued }, { headers: { "Cache-Control": "no-store" } });
}
