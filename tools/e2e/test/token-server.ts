import { createSign, randomUUID, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

import type { Identity } from "./certificate-authority.js";

export interface TokenServer extends AsyncDisposable {
  readonly realm: string;
}

export interface TokenServerOptions {
  /** Whose RSA key signs the tokens, and whose certificate goes with them. */
  readonly signer: Identity;
  readonly issuer: string;
  /** Passwords by user. */
  readonly passwords: ReadonlyMap<string, string>;
  /** Users that may only pull. */
  readonly readers: ReadonlySet<string>;
}

interface Wish {
  readonly username: string;
  readonly password: string;
  readonly service: string;
  readonly scopes: readonly string[];
}

const LIFE_SECONDS = 300;

/** A token server as Distribution's "Token Authentication Specification" has it, by GET and by OAuth2's POST. */
export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      const wish = await readWish(request);
      const isKnown = wish.password !== "" && options.passwords.get(wish.username) === wish.password;
      const token = isKnown ? signToken(wish, options) : undefined;
      response.writeHead(isKnown ? 200 : 401, { "content-type": "application/json" });
      response.end(JSON.stringify(isKnown ? { token, access_token: token, expires_in: LIFE_SECONDS } : {}));
    };
    answer().catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    realm: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function readWish(request: IncomingMessage): Promise<Wish> {
  const isPost = request.method === "POST";
  const fields = isPost
    ? new URLSearchParams(await text(request))
    : new URL(request.url ?? "", "http://x").searchParams;
  const basic = Buffer.from(request.headers.authorization?.replace(/^Basic /, "") ?? "", "base64").toString();
  const [username = "", password = ""] = isPost
    ? [fields.get("username") ?? "", fields.get("password") ?? ""]
    : basic.split(":");
  const scopes = fields.getAll("scope").flatMap((scope) => scope.split(" "));
  return { username, password, service: fields.get("service") ?? "", scopes };
}

function signToken({ username, service, scopes }: Wish, { signer, issuer, readers }: TokenServerOptions): string {
  const now = Math.floor(Date.now() / 1000);
  const access = scopes.flatMap((scope) => {
    const [, type, name, wanted] = /^([^:]+):(.+):([^:]+)$/.exec(scope) ?? [];
    const actions = wanted?.split(",").filter((action) => action === "pull" || !readers.has(username));
    return type === undefined ? [] : [{ type, name, actions }];
  });
  const certificate = new X509Certificate(signer.cert).raw.toString("base64");
  const head = encode({ typ: "JWT", alg: "RS256", x5c: [certificate] });
  // the clocks of the two are the same, the seconds that they have reached may not be
  const times = { iat: now, nbf: now - 10, exp: now + LIFE_SECONDS };
  const body = encode({ iss: issuer, sub: username, aud: service, jti: randomUUID(), ...times, access });
  return `${head}.${body}.${createSign("RSA-SHA256").update(`${head}.${body}`).sign(signer.key, "base64url")}`;
}

function encode(document: object): string {
  return Buffer.from(JSON.stringify(document)).toString("base64url");
}
