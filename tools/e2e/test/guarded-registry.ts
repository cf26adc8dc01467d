import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { getRequestListener } from "@hono/node-server";
import { createRegistry, createTokenAuthority, staticAccounts } from "@lamella/registry";
import type { Account } from "@lamella/registry";
import { memoryStorage } from "@lamella/registry/testing";

/** Our registry in this process, with its own token endpoint. */
export interface GuardedRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** The requests that it has answered, as `METHOD /path STATUS`, in that order. */
  readonly requests: readonly string[];
}

export async function startGuardedRegistry(accounts: readonly Account[]): Promise<GuardedRegistry> {
  const authority = createTokenAuthority({
    accounts: staticAccounts(accounts),
    secret: randomBytes(32),
    service: "the test's registry",
    realm: (request) => new URL("/token", request.url).href,
  });
  const registry = createRegistry({ storage: memoryStorage(), authorize: authority.authorize });
  const requests: string[] = [];
  const answer = async (request: Request): Promise<Response> => {
    const { pathname, search } = new URL(request.url);
    const response = await (pathname === "/token" ? authority.answer(request) : registry(request));
    requests.push(`${request.method} ${pathname}${search} ${response.status}`);
    return response;
  };
  const listener = getRequestListener(answer, { overrideGlobalObjects: false });
  const server = createServer((incoming, outgoing) => void listener(incoming, outgoing));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
