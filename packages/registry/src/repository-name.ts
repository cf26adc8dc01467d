import { quote } from "@lamella/refs";
import type { Context } from "hono";

import { RegistryError } from "./errors.js";

const REPOSITORY_MAX_LENGTH = 255;
const COMPONENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
/** OCI distribution-spec 1.1, "Pulling manifests": `<name>`. */
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);

export function isRepositoryName(text: string): boolean {
  return text.length <= REPOSITORY_MAX_LENGTH && REPOSITORY.test(text);
}

/** The repository that a request is about. Throws `name_invalid`. */
export function repositoryOf(c: Context): string {
  const name = c.req.param("name") ?? "";
  if (isRepositoryName(name)) return name;
  const rule =
    name.length > REPOSITORY_MAX_LENGTH ? `over ${REPOSITORY_MAX_LENGTH} characters` : "not a repository name";
  throw new RegistryError("name_invalid", `cannot use repository ${quote(name)}: ${rule}`);
}
