import { quote } from "@lamella/refs";
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";

import type { Access, AccessAction, Authorize, Refusal } from "./access.js";
import { errorResponse } from "./error-response.js";
import { RegistryError } from "./errors.js";
import { repositoryOf } from "./repository-name.js";

/** What every route passes before it does anything. */
export interface Gate {
  /** Whether everybody may do everything. */
  readonly isOpen: boolean;
  /** For the registry as a whole: `/v2/`, the catalog. */
  enter(c: Context, access?: Access): Promise<void>;
  /** The repository that a request is about. Throws `name_invalid`. */
  repository(c: Context, action: "pull" | "push" | "delete"): Promise<string>;
  /** Whether the same request may also pull from another repository. */
  mayPull(c: Context, repository: string): Promise<boolean>;
}

/** As Distribution's registry asks for them: who pushes, also pulls. */
const ACTIONS: Readonly<Record<"pull" | "push" | "delete", readonly AccessAction[]>> = {
  pull: ["pull"],
  push: ["pull", "push"],
  delete: ["delete"],
};

/** Without `authorize`, everybody may do everything. */
export function createGate(authorize: Authorize | undefined): Gate {
  async function enter(c: Context, access?: Access): Promise<void> {
    const refusal = await authorize?.(c.req.raw, access);
    if (refusal !== undefined) throw refused(refusal, access);
  }

  return {
    isOpen: authorize === undefined,
    enter,
    async repository(c, action) {
      const name = repositoryOf(c);
      await enter(c, { type: "repository", name, actions: ACTIONS[action] });
      return name;
    },
    async mayPull(c, name) {
      const refusal = await authorize?.(c.req.raw, { type: "repository", name, actions: ACTIONS.pull });
      return refusal === undefined;
    },
  };
}

function refused({ code, challenge }: Refusal, access: Access | undefined): HTTPException {
  const act = access === undefined ? "enter" : `${access.actions.join(" and ")} ${access.type} ${quote(access.name)}`;
  const state = code === "denied" ? "it is not allowed" : "it has to be authorized";
  const headers = challenge === undefined ? {} : { "WWW-Authenticate": challenge };
  const res = errorResponse(new RegistryError(code, `cannot ${act}: ${state}`), headers);
  return new HTTPException(code === "denied" ? 403 : 401, { res });
}
