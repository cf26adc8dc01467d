import type { Registry } from "@lamella/registry";
import { Hono } from "hono";

import { isLoopbackHost } from "./listen-address.js";

export interface AppOptions {
  readonly registry: Registry;
  /** Whether new work is welcome. */
  readonly isReady: () => boolean;
  /** On TCP: refuse a request that was meant for another host. */
  readonly loopbackOnly: boolean;
}

/** Everything that lamellad answers: the registry under `/v2/`, `/healthz` (alive) and `/readyz` (taking work, else 503). */
export function createApp(options: AppOptions): (request: Request) => Promise<Response> {
  const app = new Hono();
  if (options.loopbackOnly) {
    // A web page whose host name is made to point at this machine (DNS rebinding) still names its own host here.
    app.use(async (c, next) => {
      if (isLoopbackHost(new URL(c.req.url).hostname)) return next();
      return c.text("this is not the host that the request names\n", 421);
    });
  }
  app.get("/healthz", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => (options.isReady() ? c.text("ready\n") : c.text("stopping\n", 503)));
  app.all("/v2/*", (c) => options.registry(c.req.raw));
  return async (request) => app.fetch(request);
}
