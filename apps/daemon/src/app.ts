import type { Registry } from "@lamella/registry";
import { Hono } from "hono";
import type { Context, MiddlewareHandler } from "hono";

import { CLIENT_HAS_GONE, isBrokenOff } from "./broken-off.js";
import { isLoopbackHost } from "./listen-address.js";
import type { Metrics } from "./metrics.js";
import { refuse } from "./refusal.js";
import { TOKEN_PATH } from "./token-guard.js";
import type { TokenGuard } from "./token-guard.js";

/** Of a request that is no upload. */
const BODY_MAX_BYTES = 256 << 10;

export interface AppOptions {
  readonly registry: Registry;
  /** Whether new work is welcome. */
  readonly isReady: () => boolean;
  /** On TCP without a token: refuse a request that was meant for another host, or that a page of another has sent. */
  readonly loopbackOnly: boolean;
  /** The token, if there is one. Without `guard.isAsked` whoever comes is taken to have shown it. */
  readonly guard?: { readonly token: TokenGuard; readonly isAsked: boolean } | undefined;
  /** What is also served, behind the guard: the HTTP API, the page. */
  readonly routes?: readonly Hono[];
  /** Sees every request first. */
  readonly observe?: MiddlewareHandler | undefined;
  readonly metrics?: Metrics | undefined;
  /** Is told of what went wrong on our side; the client gets a 500 without details. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** Everything that lamellad answers: the registry under `/v2/`, `/healthz` (alive), `/readyz` (taking work, else 503), `/metrics`, and the routes given. */
export function createApp(options: AppOptions): (request: Request) => Promise<Response> {
  const { registry, isReady, loopbackOnly, guard, routes = [], observe, metrics, onError } = options;
  const app = new Hono();
  if (observe !== undefined) app.use(observe);
  if (loopbackOnly) app.use(ofThisMachine);
  if (guard !== undefined) app.use(guard.isAsked ? guard.token.ask : guard.token.welcome);
  app.use(limitBody);
  app.get("/healthz", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => (isReady() ? c.text("ready\n") : c.text("not ready\n", 503)));
  if (metrics !== undefined) {
    app.get("/metrics", async (c) => c.body(await metrics.text(), 200, { "Content-Type": metrics.contentType }));
  }
  if (guard !== undefined) app.all(TOKEN_PATH, (c) => guard.token.answer(c.req.raw));
  app.all("/v2/*", (c) => registry(c.req.raw));
  for (const more of routes) app.route("/", more);
  app.notFound((c) =>
    refuse(404, {
      code: "not_found",
      title: "Not Found",
      detail: `cannot ${c.req.method} here: nothing is at the path`,
    }),
  );
  app.onError((error, c) => {
    if (c.req.raw.signal.aborted || isBrokenOff(error, c.req.raw))
      return new Response(null, { status: CLIENT_HAS_GONE });
    onError?.(error);
    return refuse(500, {
      code: "internal_error",
      title: "Internal Server Error",
      detail: `cannot ${c.req.method} here: the daemon has failed, and its log says how`,
    });
  });
  return async (request) => app.fetch(request);
}

/**
 * A web page whose host name is made to point at this machine (DNS rebinding) still names its own host; and one that sends a form to this machine tells of
 * which origin it is.
 */
const ofThisMachine: MiddlewareHandler = async (c, next) => {
  const { hostname, host } = new URL(c.req.url);
  if (!isLoopbackHost(hostname)) return c.text("this is not the host that the request names\n", 421);
  const origin = c.req.header("Origin");
  if (origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)) return next();
  const detail = `cannot ${c.req.method} here: the request comes from a page of another origin`;
  return refuse(403, { code: "origin_foreign", title: "Forbidden", detail });
};

/** Blobs and manifests have limits of the registry's. */
async function limitBody(c: Context, next: () => Promise<void>): Promise<Response | void> {
  if (c.req.path.startsWith("/v2/") || c.req.path === TOKEN_PATH) return next();
  const { headers, body } = c.req.raw;
  const isChunked = headers.has("Transfer-Encoding");
  if (!isChunked) return Number(headers.get("Content-Length")) > BODY_MAX_BYTES ? refuseBody(c) : next();
  const bytes = await readSmall(body);
  if (bytes === undefined) return refuseBody(c);
  // what the routes read the body from; it holds promises, whatever its type says
  Object.assign(c.req.bodyCache, { arrayBuffer: Promise.resolve(bytes) });
  return next();
}

/** A body whose length nobody knows before, if it is within the limit. */
async function readSmall(body: AsyncIterable<Uint8Array> | null): Promise<ArrayBuffer | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > BODY_MAX_BYTES) return undefined;
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks)).buffer;
}

function refuseBody(c: Context): Response {
  return refuse(413, {
    code: "body_too_large",
    title: "Content Too Large",
    detail: `cannot ${c.req.method} here: the body is over ${BODY_MAX_BYTES} bytes`,
  });
}
