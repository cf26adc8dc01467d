import { text } from "node:stream/consumers";

import { createRegistryClient, defaultCredentialsPath, staticCredentials, storeCredential } from "@lamella/oci-client";
import type { Credential } from "@lamella/oci-client";
import { LamellaError } from "@lamella/refs";
import { Command } from "commander";

import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult } from "../output.js";
import { clientOptions, withRegistries } from "../registry-session.js";

interface LoginOptions extends GlobalOptions {
  username: string;
  passwordStdin: boolean;
}

export function loginCommand(): Command {
  const command = new Command("login")
    .argument("<registry>", "its host, as ghcr.io or 127.0.0.1:5000")
    .requiredOption("-u, --username <name>", "who logs in")
    .option("--password-stdin", "read the password or token from stdin", false)
    .action(login);
  return addGlobalOptions(command);
}

async function login(registry: string, options: LoginOptions): Promise<void> {
  // a password in an argument is one that every user of the machine can read
  if (!options.passwordStdin) {
    throw new LamellaError(
      "option_invalid",
      `cannot log in to ${registry}: pipe the password in, with --password-stdin`,
    );
  }
  const password = (await text(process.stdin)).replace(/\r?\n$/, "");
  const credential: Credential = { kind: "basic", username: options.username, password };
  await withRegistries(options, async ({ signal }) => {
    const credentials = staticCredentials({ [registry]: credential });
    await using client = createRegistryClient({ ...(await clientOptions(options, { signal })), credentials });
    await client.ping(registry, { signal });
    const path = defaultCredentialsPath(process.env);
    await storeCredential(registry, credential, { path, signal });
    printResult(options, process.stdout, {
      json: { registry, username: options.username, path },
      text: () => `logged in to ${registry} as ${options.username}; kept in ${path}\n`,
    });
  });
}
