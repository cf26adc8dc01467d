import type { Transport, TransportRequest } from "./transport.js";

/** What the platform's `fetch` is, or a server's handler in the same process. */
export type FetchLike = (request: Request) => Promise<Response>;

/**
 * A transport over a function from request to response: the platform's `fetch`, or a registry in the same process.
 *
 * A browser does not show where an answer redirects to; there a GET or HEAD that is redirected is asked again and followed by the browser,
 * which drops `authorization` at a change of origin and refuses to leave HTTPS. Proxies and certificates are the platform's.
 */
export function createFetchTransport(fetch: FetchLike): Transport {
  return {
    async request(request) {
      const { url, method, headers, body, signal } = request;
      const init = { method, headers: new Headers(headers), signal, redirect: "manual", duplex: "half" } as const;
      const isKnownLength = body === undefined || body instanceof Uint8Array;
      // Of a known length the platform writes the header itself, and refuses two.
      if (isKnownLength) init.headers.delete("content-length");
      const sent = isKnownLength ? body : toStream(body);
      let response = await fetch(new Request(url, sent === undefined ? init : { ...init, body: sent }));
      if (response.type === "opaqueredirect" && canFollow(request)) {
        response = await fetch(new Request(url, { ...init, redirect: "follow" }));
      }
      const chunks = response.body === null ? nothing() : toChunks(response.body);
      return { status: response.status, headers: response.headers, body: chunks };
    },
    async close() {},
  };
}

function canFollow({ method }: TransportRequest): boolean {
  return method === "GET" || method === "HEAD";
}

/** `ReadableStream.from`, which not every platform has. */
function toStream(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}

/** The iteration of a stream, which not every platform has. */
async function* toChunks(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  let isDone = false;
  try {
    for (;;) {
      const next = await reader.read();
      isDone = next.done;
      if (next.done) return;
      yield next.value;
    }
  } finally {
    if (!isDone) await reader.cancel();
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
