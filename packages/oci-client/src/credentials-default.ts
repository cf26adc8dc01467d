import { homedir } from "node:os";
import { join } from "node:path";

import { matchCredentialKey } from "./credential-key.js";
import { chainCredentials, type Credentials } from "./credentials.js";
import { fileCredentials } from "./credentials-file.js";
import { OciClientError } from "./errors.js";

/** Variables by name, as in `process.env`. One that is empty counts as unset. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The credentials that a user of docker, podman, skopeo or crane expects to work, in this order:
 *
 * 1. `LAMELLA_REGISTRY_USERNAME` and `LAMELLA_REGISTRY_PASSWORD`, for the registry `LAMELLA_REGISTRY_HOST` alone;
 * 2. `$REGISTRY_AUTH_FILE`, alone if it is set, and it must be there;
 * 3. `$DOCKER_CONFIG/config.json`, alone if it is set;
 * 4. `~/.docker/config.json`, `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json` (`~/.config` by default):
 *    the first that has a credential for the target.
 */
export function defaultCredentials(env: Environment = process.env): Credentials {
  const named = namedFile(env);
  const files = named === undefined ? usualFiles(env).map((path) => fileCredentials(path, { env })) : [named];
  return chainCredentials([environmentCredentials(env), ...files]);
}

/** The file that a login writes and {@link defaultCredentials} finds first: `$REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`. */
export function defaultCredentialsPath(env: Environment = process.env): string {
  if (isSet(env["REGISTRY_AUTH_FILE"])) return env["REGISTRY_AUTH_FILE"];
  return isSet(env["DOCKER_CONFIG"])
    ? join(env["DOCKER_CONFIG"], "config.json")
    : join(home(env), ".docker", "config.json");
}

/**
 * A name and a password from the environment, for one registry: without `LAMELLA_REGISTRY_HOST` they would go to any.
 * `lookup` rejects with `credentials_invalid` when only some of the variables are set.
 */
export function environmentCredentials(env: Environment = process.env): Credentials {
  return {
    async lookup(target, { signal } = {}) {
      signal?.throwIfAborted();
      const [host, username, password] = ["HOST", "USERNAME", "PASSWORD"].map(
        (name) => env[`LAMELLA_REGISTRY_${name}`],
      );
      if (!isSet(username) && !isSet(password)) return undefined;
      if (!isSet(host) || !isSet(username) || !isSet(password)) {
        const state = "LAMELLA_REGISTRY_HOST, LAMELLA_REGISTRY_USERNAME and LAMELLA_REGISTRY_PASSWORD go together";
        throw new OciClientError("credentials_invalid", `cannot use credentials of the environment: ${state}`);
      }
      return matchCredentialKey([host], target) === undefined ? undefined : { kind: "basic", username, password };
    },
  };
}

function namedFile(env: Environment): Credentials | undefined {
  const isRequired = isSet(env["REGISTRY_AUTH_FILE"]);
  if (!isRequired && !isSet(env["DOCKER_CONFIG"])) return undefined;
  return fileCredentials(defaultCredentialsPath(env), { env, isRequired });
}

function usualFiles(env: Environment): string[] {
  const runtime = env["XDG_RUNTIME_DIR"];
  const config = isSet(env["XDG_CONFIG_HOME"]) ? env["XDG_CONFIG_HOME"] : join(home(env), ".config");
  return [
    defaultCredentialsPath(env),
    ...(isSet(runtime) ? [join(runtime, "containers", "auth.json")] : []),
    join(config, "containers", "auth.json"),
  ];
}

function home(env: Environment): string {
  return isSet(env["HOME"]) ? env["HOME"] : homedir();
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== "";
}
