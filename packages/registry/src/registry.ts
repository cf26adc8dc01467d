import { Hono } from "hono";

import { addBlobRoutes } from "./blob-routes.js";
import { BASE, ENDPOINTS } from "./endpoints.js";
import { errorResponse, isExpected } from "./error-response.js";
import { RegistryError } from "./errors.js";
import { addListingRoutes } from "./listing-routes.js";
import { addManifestRoutes } from "./manifest-routes.js";
import type { RegistryStorage } from "./storage.js";
import { addUploadRoutes } from "./upload-routes.js";

export interface RegistryOptions {
  readonly storage: RegistryStorage;
  /** Is told of each error that is not its client's fault; the client gets a 500 without details. */
  readonly onError?: (error: unknown, request: Request) => void;
}

/** Answers one HTTP request. Rejects only with the reason of the request's own signal, once that is aborted. */
export type Registry = (request: Request) => Promise<Response>;

/**
 * An OCI registry (distribution-spec 1.1: pull, push, tags, deletion) over a storage, for any server of `Request` and `Response`.
 *
 * Serves the paths under `/v2/` and answers 404 elsewhere. Bodies of blobs are streamed both ways; a manifest, at most 4 MiB,
 * is the only thing held in memory. There is no authentication here: whoever can send a request can do everything.
 */
export function createRegistry(options: RegistryOptions): Registry {
  const app = new Hono();
  app.get(BASE.slice(0, -1), () => Response.json({}));
  app.get(BASE, () => Response.json({}));
  addListingRoutes(app, options.storage.manifests);
  addUploadRoutes(app, options.storage);
  addBlobRoutes(app, options.storage.blobs);
  addManifestRoutes(app, options.storage);
  addRefusals(app);

  app.onError((error, c) => {
    const { signal } = c.req.raw;
    if (signal.aborted) throw signal.reason;
    if (!isExpected(error)) options.onError?.(error, c.req.raw);
    return errorResponse(error);
  });

  return async (request) => {
    request.signal.throwIfAborted();
    const response = await app.fetch(request);
    response.headers.set("Docker-Distribution-API-Version", "registry/2.0");
    return response;
  };
}

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
