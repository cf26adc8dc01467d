import { defaultCredentialsPath, eraseCredential } from "@lamella/oci-client";
import { Command } from "commander";

import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult } from "../output.js";
import { withRegistries } from "../registry-session.js";

export function logoutCommand(): Command {
  const command = new Command("logout").argument("<registry>", "its host, as ghcr.io or 127.0.0.1:5000").action(logout);
  return addGlobalOptions(command);
}

async function logout(registry: string, options: GlobalOptions): Promise<void> {
  await withRegistries(options, async ({ signal }) => {
    const path = defaultCredentialsPath(process.env);
    const wasThere = await eraseCredential(registry, { path, signal });
    printResult(options, process.stdout, {
      json: { registry, wasThere, path },
      text: () => `${wasThere ? "logged out of" : "was not logged in to"} ${registry}\n`,
    });
  });
}
