import { quote } from "@lamella/refs";

import { type CredentialHelperOptions, getFromHelper } from "./credential-helper.js";
import { DOCKER_HUB_KEY } from "./credential-key.js";
import type { Credentials } from "./credentials.js";
import { credentialFor, helperFor } from "./docker-config.js";
import { readDockerConfig } from "./docker-config-file.js";
import { OciClientError } from "./errors.js";
import { DOCKER_HUB } from "./host.js";

export interface FileCredentialsOptions extends Pick<CredentialHelperOptions, "timeoutMs"> {
  /** What helpers run with. Default: this process's environment. */
  env?: CredentialHelperOptions["env"];
  /** Whether a file that is not there is an error. Default: it counts as empty. */
  isRequired?: boolean;
}

/**
 * The credentials that a file of Docker (`config.json`) or Podman (`auth.json`) holds or knows the helper of. The file is read at each
 * lookup. A helper that holds nothing for the target leaves the word to the file. Keys may go on with a path, `quay.io/team`; the longest
 * that fits wins. Docker Hub is found by any of its names, `https://index.docker.io/v1/` among them.
 *
 * `lookup` rejects with `credentials_invalid`, `too_large` or `helper_failed`; messages name the file or the helper and hold no secret.
 */
export function fileCredentials(path: string, options: FileCredentialsOptions = {}): Credentials {
  const { env = process.env, timeoutMs, isRequired = false } = options;
  return {
    async lookup(target, { signal } = {}) {
      const config = await readDockerConfig(path, { signal });
      if (config === undefined) {
        if (!isRequired) return undefined;
        const state = "there is no such file";
        throw new OciClientError("credentials_invalid", `cannot read credentials in ${quote(path)}: ${state}`);
      }
      const helper = helperFor(config, target);
      const server = helperServer(target.registry);
      const held = helper === undefined ? undefined : await getFromHelper(helper, server, { env, timeoutMs, signal });
      return held ?? credentialFor(config, target);
    },
  };
}

/** What helpers know a registry by. */
export function helperServer(registry: string): string {
  return registry === DOCKER_HUB ? DOCKER_HUB_KEY : registry;
}
