import type { Context, MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";

import type { Logger } from "./logging.js";
import type { Metrics } from "./metrics.js";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const REGISTRY_PART = /\/(manifests|blobs\/uploads|blobs|tags\/list|referrers)(?:\/[^/]*)?$/;

/** Counts and logs each request: its method and path, and nothing that it brings in its query, headers or body. */
export function observeRequests(log: Logger, metrics: Metrics | undefined): MiddlewareHandler {
  return async (c, next) => {
    const started = performance.now();
    await next();
    const durationMs = performance.now() - started;
    const { status } = c.res;
    const method = METHODS.has(c.req.method) ? c.req.method : "other";
    metrics?.answered({ method, route: routeOf(c), status, seconds: durationMs / 1000 });
    const line = { method, path: c.req.path, status, durationMs: Math.round(durationMs) };
    log[status >= 500 ? "warn" : "debug"](line, "answered");
  };
}

/** The pattern of the route that was meant. What is asked for nowhere is all one. */
function routeOf(c: Context): string {
  const patterns = matchedRoutes(c).map(({ path }) => path);
  const route = patterns.find((pattern) => pattern !== "/*" && pattern !== "*") ?? "none";
  if (route !== "/v2/*") return route;
  const [, part] = REGISTRY_PART.exec(c.req.path) ?? [];
  return part === undefined ? route : `/v2/:name/${part}`;
}
