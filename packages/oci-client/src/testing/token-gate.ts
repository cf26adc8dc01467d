import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";

import type { FaultAction } from "./fault.js";

type Answer = Extract<FaultAction, { kind: "answer" }>;

/** Lets requests below `/v2/` through with a token that it gave, as often as each is good for. */
export interface TokenGate {
  /** Its own answer: a token, or that one is needed; undefined lets the request through. */
  answer(request: IncomingMessage): Answer | undefined;
  given(): number;
}

export function createTokenGate(usesEach: number): TokenGate {
  const left = new Map<string, number>();
  return {
    answer({ url = "/", headers, socket }) {
      if (url.startsWith("/token")) {
        const token = `token-${left.size}`;
        left.set(token, usesEach);
        return { kind: "answer", status: 200, body: JSON.stringify({ token, expires_in: 300 }) };
      }
      if (!url.startsWith("/v2/")) return undefined;
      const token = headers.authorization?.replace(/^Bearer /, "") ?? "";
      const uses = left.get(token) ?? 0;
      if (uses > 0) {
        left.set(token, uses - 1);
        return undefined;
      }
      const scheme = socket instanceof TLSSocket ? "https" : "http";
      const challenge = `Bearer realm="${scheme}://${headers.host}/token",service="fault-proxy"`;
      return { kind: "answer", status: 401, headers: { "www-authenticate": challenge } };
    },
    given: () => left.size,
  };
}
