import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";

import type { Authorize } from "./access.js";
import { addBlobRoutes } from "./blob-routes.js";
import { BASE, ENDPOINTS } from "./endpoints.js";
import { errorResponse, isExpected } from "./error-response.js";
import { RegistryError } from "./errors.js";
import { createGate } from "./gate.js";
import { jsonResponse } from "./json-response.js";
import { withDefaults } from "./limits.js";
import type { RegistryLimits } from "./limits.js";
import { addListingRoutes } from "./listing-routes.js";
import { addManifestRoutes } from "./manifest-routes.js";
import { addReferrerRoutes } from "./referrer-routes.js";
import type { Deletion, Service } from "./service.js";
import type { RegistryStorage } from "./storage.js";
import { addUploadRoutes } from "./upload-routes.js";

export interface RegistryOptions {
  readonly storage: RegistryStorage;
  /** Who may do what; everybody everything, if not given. */
  readonly authorize?: Authorize;
  readonly deletion?: Deletion;
  readonly limits?: RegistryLimits;
  /** Is told of each error that is not its client's fault; the client gets a 500 without details. */
  readonly onError?: (error: unknown, request: Request) => void;
}

/** Answers one HTTP request. Rejects only with the reason of the request's own signal, once that is aborted. */
export type Registry = (request: Request) => Promise<Response>;

/**
 * An OCI registry (distribution-spec 1.1: pull, push, content discovery, content management) over a storage, for any server of
 * `Request` and `Response`.
 *
 * Serves the paths under `/v2/` and answers 404 elsewhere. Bodies of blobs are streamed both ways; manifests, of at most 4 MiB each, are
 * the only thing held in memory.
 */
export function createRegistry(options: RegistryOptions): Registry {
  const { storage, authorize, deletion = {}, limits } = options;
  const gate = createGate(authorize);
  const { blobs, uploads, manifests } = storage;
  const service: Service = { blobs, uploads, manifests, gate, deletion, limits: withDefaults(limits) };

  const app = new Hono();
  for (const path of [BASE.slice(0, -1), BASE]) {
    app.get(path, async (c) => {
      await gate.enter(c);
      return jsonResponse({});
    });
  }
  addListingRoutes(app, service);
  addUploadRoutes(app, service);
  addBlobRoutes(app, service);
  addManifestRoutes(app, service);
  addReferrerRoutes(app, service);
  addRefusals(app);

  app.onError((error, c) => {
    const { signal } = c.req.raw;
    if (signal.aborted) throw signal.reason;
    if (error instanceof HTTPException) return error.getResponse();
    if (!isExpected(error)) options.onError?.(error, c.req.raw);
    return errorResponse(error);
  });

  const answer = async (request: Request): Promise<Response> => {
    if (new URL(request.url).pathname.length <= PATH_MAX_LENGTH) return app.fetch(request);
    return errorResponse(
      new RegistryError("path_too_long", `cannot answer: the path is over ${PATH_MAX_LENGTH} characters`),
    );
  };

  return async (request) => {
    request.signal.throwIfAborted();
    const response = await answer(request);
    response.headers.set("Docker-Distribution-API-Version", "registry/2.0");
    return response;
  };
}

/**
 * More than any name and digest need, with every character escaped. It is a limit on time: the router's is far from linear in
 * the number of slashes (2.5 s for 4,000 of them, measured).
 */
const PATH_MAX_LENGTH = 1024;

/** What no route has taken: a known path with a method that it does not have, or a path that is none. */
function addRefusals(app: Hono): void {
  for (const path of ENDPOINTS) {
    app.all(path, (c) => {
      throw new RegistryError("method_unsupported", `cannot ${c.req.method} here: the registry does not support it`);
    });
  }
  app.notFound((c) => {
    return errorResponse(new RegistryError("endpoint_unknown", `cannot ${c.req.method} here: no such endpoint`));
  });
}
