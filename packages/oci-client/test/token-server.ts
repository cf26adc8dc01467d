import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

import { readAll, sendError, type TestRegistry } from "./registry-server.js";

interface LoggedTokenRequest {
  readonly method: string;
  readonly authorization: string | undefined;
  /** The query of a GET, the form of a POST. */
  readonly parameters: URLSearchParams;
}

interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  /** The rest of the answer of a server that gives a token. */
  readonly fields?: Record<string, unknown>;
}

/** A small real token server on loopback. It gives a new token each time, unless `decide` says otherwise. */
export interface TokenServer extends AsyncDisposable {
  readonly url: string;
  readonly realm: string;
  readonly requests: LoggedTokenRequest[];
  /** The scopes of each token that was given. */
  readonly issued: Map<string, string[]>;
  decide: (request: LoggedTokenRequest) => Answer | Promise<Answer>;
}

export async function startTokenServer(): Promise<TokenServer> {
  const server = createServer((request, response) => {
    void (async () => {
      const logged = await readRequest(request);
      tokens.requests.push(logged);
      const { status = 200, headers = {}, body, fields } = await tokens.decide(logged);
      const token = `token-${tokens.issued.size + 1}`;
      const isGiven = status === 200 && body === undefined;
      if (isGiven)
        tokens.issued.set(
          token,
          logged.parameters.getAll("scope").flatMap((scope) => scope.split(" ")),
        );
      const given = { [logged.method === "POST" ? "access_token" : "token"]: token, expires_in: 300, ...fields };
      response.writeHead(status, headers).end(isGiven ? JSON.stringify(given) : body);
    })();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const tokens: TokenServer = {
    url,
    realm: `${url}/token`,
    requests: [],
    issued: new Map(),
    decide: () => ({}),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
  return tokens;
}

async function readRequest(request: IncomingMessage): Promise<LoggedTokenRequest> {
  const { method = "", url = "", headers } = request;
  const form = new TextDecoder().decode(await readAll(request as AsyncIterable<Uint8Array>));
  const parameters = method === "POST" ? new URLSearchParams(form) : new URL(url, "http://x").searchParams;
  return { method, authorization: headers.authorization, parameters };
}

/** Makes a registry demand what `scopeOf` says of a request: a token that was given for it and is not `revoked`. */
export function demandToken(
  registry: TestRegistry,
  tokens: TokenServer,
  scopeOf: (request: IncomingMessage) => string,
): { revoked: Set<string> } {
  const revoked = new Set<string>();
  registry.intercept = (request, response) => {
    const scope = scopeOf(request);
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1] ?? "";
    const granted = revoked.has(token) ? undefined : tokens.issued.get(token);
    if (granted?.includes(scope) === true) return false;
    response.setHeader("www-authenticate", `Bearer realm="${tokens.realm}",service="registry.test",scope="${scope}"`);
    sendError(response, 401, "UNAUTHORIZED", "authentication required");
    return true;
  };
  return { revoked };
}

/** Makes a registry demand a name and a password. */
export function demandPassword(registry: TestRegistry, username: string, password: string): void {
  const expected = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  registry.intercept = ({ headers }, response) => {
    if (headers.authorization === expected) return false;
    response.setHeader("www-authenticate", 'Basic realm="registry"');
    sendError(response, 401, "UNAUTHORIZED", `not ${headers.authorization ?? "known"}`);
    return true;
  };
}
