import { OpenAPIHono } from "@hono/zod-openapi";

import { refuse } from "../refusal.js";
import { addBrowseRoutes } from "./browse.js";
import type { ApiContext } from "./context.js";
import { addDiskRoutes } from "./disks.js";
import { addEventRoutes } from "./events.js";
import { addImageRoutes } from "./images.js";
import { answerProblem } from "./problem.js";
import { addSnapshotRoutes } from "./snapshots.js";
import { addStoreRoutes } from "./store.js";

const BAD_REQUEST = 400;

/** The HTTP API, to be mounted at the root. It says what it is at `/openapi.json`. */
export function createApi(context: ApiContext): OpenAPIHono {
  const api = new OpenAPIHono({ defaultHook: refuseInvalid });
  api.onError((error, c) => answerProblem(error, c, context.onError));
  addImageRoutes(api, context);
  addEventRoutes(api, context);
  addBrowseRoutes(api, context);
  addDiskRoutes(api, context);
  addStoreRoutes(api, context);
  addSnapshotRoutes(api, context);
  api.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
    description: "What lamellad was given, or has made, at its start. A unix socket asks for none unless one was given",
  });
  api.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: {
      title: "lamellad",
      version: context.version,
      description: "From an image reference to a bootable disk",
      license: { name: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ token: [] }, {}],
  });
  return api;
}

interface Validation {
  readonly target: string;
  readonly success: boolean;
  readonly error?: { readonly issues: readonly Issue[] };
}

interface Issue {
  readonly code: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

const MAX_ISSUES = 5;

function refuseInvalid({ target, success, error }: Validation): Response | undefined {
  if (success) return undefined;
  const issues = error?.issues ?? [];
  const isName = issues.every(({ path, code }) => path.join(".") === "name" && code !== "invalid_type");
  const told = issues.slice(0, MAX_ISSUES).map(({ path, message }) => `${path.join(".") || target}: ${message}`);
  return refuse(BAD_REQUEST, {
    code: isName ? "invalid_name" : "invalid_request",
    title: "Bad Request",
    detail: `cannot take the request: ${told.join("; ")}`,
  });
}
