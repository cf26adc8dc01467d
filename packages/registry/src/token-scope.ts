import type { Access, AccessAction } from "./access.js";
import { RegistryError } from "./errors.js";
import { isRepositoryName } from "./repository-name.js";

/** A push that mounts from everywhere asks for a few; a token has to fit into a header. */
const SCOPES_MAX = 32;
const ACTIONS: ReadonlySet<string> = new Set(["pull", "push", "delete", "*"]);

/** `repository:library/alpine:pull,push` (Distribution, "Token Scope Documentation"). */
export function formatScope({ type, name, actions }: Access): string {
  return `${type}:${name}:${actions.join(",")}`;
}

/**
 * What a client wants a token for; several scopes of one thing are one. What this registry does not have is left out: no token
 * is for it. Throws `scope_invalid` for too many.
 */
export function parseScopes(scopes: readonly string[]): Access[] {
  const words = scopes.flatMap((scope) => scope.split(" ")).filter((word) => word !== "");
  if (words.length > SCOPES_MAX) {
    throw new RegistryError("scope_invalid", `cannot give a token: over ${SCOPES_MAX} scopes`);
  }
  const wanted = new Map<string, { type: Access["type"]; name: string; actions: Set<AccessAction> }>();
  for (const word of words) {
    const [, type = "", name = "", actions = ""] = /^([a-z]+)(?:\([a-z0-9]+\))?:([^:]+):([a-z*,]*)$/.exec(word) ?? [];
    const isKnown = type === "repository" ? isRepositoryName(name) : type === "registry" && name === "catalog";
    if (!isKnown) continue;
    const known = wanted.get(`${type}:${name}`) ?? { type: type as Access["type"], name, actions: new Set() };
    wanted.set(`${type}:${name}`, known);
    for (const action of actions.split(",")) if (ACTIONS.has(action)) known.actions.add(action as AccessAction);
  }
  return [...wanted.values()].map(({ actions, ...thing }) => ({ ...thing, actions: [...actions] }));
}
