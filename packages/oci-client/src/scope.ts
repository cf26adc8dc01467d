/** What a token may be used for: `repository:library/alpine:pull,push` (Distribution, "Token Scope Documentation"). */
export type Scope = string;

/** The scope of acts on a repository. */
export function repositoryScope(path: string, actions: readonly string[]): Scope {
  return `repository:${path}:${actions.join(",")}`;
}

/** The scopes that a challenge asks for, in its order. */
export function parseScopes(text: string | undefined): Scope[] {
  return text?.split(" ").filter(Boolean) ?? [];
}

/** Each resource once, with all its actions, in the order in which they first came. */
export function mergeScopes(scopes: readonly Scope[]): Scope[] {
  const actionsOf = new Map<string, Set<string>>();
  for (const scope of scopes) {
    const { resource, actions } = splitScope(scope);
    const known = actionsOf.get(resource) ?? new Set();
    for (const action of actions) known.add(action);
    actionsOf.set(resource, known);
  }
  return [...actionsOf].map(([resource, actions]) =>
    actions.size === 0 ? resource : `${resource}:${[...actions].join(",")}`,
  );
}

/** Whether a token for `granted`, which is merged, allows all that is `wanted`. */
export function coversScopes(granted: readonly Scope[], wanted: readonly Scope[]): boolean {
  const actionsOf = new Map(granted.map(splitScope).map(({ resource, actions }) => [resource, new Set(actions)]));
  return wanted.map(splitScope).every(({ resource, actions }) => {
    const known = actionsOf.get(resource);
    return known !== undefined && (known.has("*") || actions.every((action) => known.has(action)));
  });
}

/** The resource's name may hold colons, as a host's port: the actions are what follows the last one. */
function splitScope(scope: Scope): { resource: string; actions: string[] } {
  const end = scope.lastIndexOf(":");
  if (end === -1) return { resource: scope, actions: [] };
  return {
    resource: scope.slice(0, end),
    actions: scope
      .slice(end + 1)
      .split(",")
      .filter(Boolean),
  };
}
