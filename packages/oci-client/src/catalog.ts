import { parseReference } from "@lamella/refs";

import { pageItems, type PageRequest, readPages } from "./pages.js";
import type { Session } from "./session.js";
import { listQuery, type ListOptions } from "./tags.js";

/** The repositories of a registry, page by page (Distribution, "Catalog"; not part of the OCI specification). What is no name is passed over. */
export async function* listRepositories(
  session: Session,
  options: ListOptions,
): AsyncGenerator<string, void, undefined> {
  const target = new URL(`/v2/_catalog?${listQuery(options)}`, session.registry);
  const scopes = ["registry:catalog:*"];
  const request: PageRequest = { target, verb: "list the repositories", scopes, statuses: [200] };
  for await (const { bytes } of readPages(session, request, options)) {
    const names = pageItems(session, request, bytes, "repositories");
    yield* names.filter((name): name is string => typeof name === "string" && isRepositoryPath(name));
  }
}

function isRepositoryPath(path: string): boolean {
  try {
    return parseReference(`registry.invalid/${path}`).path === path;
  } catch {
    return false;
  }
}
