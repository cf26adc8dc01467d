import type { Transport } from "./transport.js";

/** What the platform's `fetch` is, or a server's handler in the same process. */
export type FetchLike = (request: Request) => Promise<Response>;

/** A transport over a function from request to response: the platform's `fetch`, or a registry in the same process. */
export function createFetchTransport(fetch: FetchLike): Transport {
  return {
    async request({ url, method, headers, body, signal }) {
      const init = { method, headers: new Headers(headers), signal, redirect: "manual", duplex: "half" } as const;
      const isKnownLength = body === undefined || body instanceof Uint8Array;
      // Of a known length the platform writes the header itself, and refuses two.
      if (isKnownLength) init.headers.delete("content-length");
      const sent = isKnownLength ? body : ReadableStream.from(body);
      const response = await fetch(new Request(url, sent === undefined ? init : { ...init, body: sent }));
      return { status: response.status, headers: response.headers, body: response.body ?? nothing() };
    },
    async close() {},
  };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
