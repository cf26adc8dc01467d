import type { Transport } from "./transport.js";

/** What the platform's `fetch` is, or a server's handler in the same process. */
export type FetchLike = (request: Request) => Promise<Response>;

/** A transport over a function from request to response: the platform's `fetch`, or a registry in the same process. */
export function createFetchTransport(fetch: FetchLike): Transport {
  return {
    async request({ url, method, headers, body, signal }) {
      const init = { method, headers, signal, redirect: "manual", duplex: "half" } as const;
      const response = await fetch(new Request(url, body === undefined ? init : { ...init, body: toBody(body) }));
      return { status: response.status, headers: response.headers, body: response.body ?? nothing() };
    },
    async close() {},
  };
}

function toBody(body: Uint8Array | AsyncIterable<Uint8Array>): Uint8Array | ReadableStream<Uint8Array> {
  return body instanceof Uint8Array ? body : ReadableStream.from(body);
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
