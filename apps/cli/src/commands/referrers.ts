import { openNamedRepository } from "@lamella/image-store";
import type { Descriptor } from "@lamella/refs";
import { Command } from "commander";

import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult, table } from "../output.js";
import { withRegistries } from "../registry-session.js";

interface ReferrersOptions extends GlobalOptions {
  artifactType?: string;
}

export function referrersCommand(): Command {
  const command = new Command("referrers")
    .argument("<reference>", "an image in a registry")
    .option("--artifact-type <type>", "only what is of this type")
    .action(listReferrers);
  return addGlobalOptions(command);
}

async function listReferrers(text: string, options: ReferrersOptions): Promise<void> {
  await withRegistries(options, async ({ client, signal }) => {
    const { repository, name } = openNamedRepository(text, client);
    const { digest } = await repository.resolve(name, { signal });
    const found: Descriptor[] = [];
    const { artifactType } = options;
    for await (const referrer of repository.referrers(digest, { artifactType, signal })) found.push(referrer);
    printResult(options, process.stdout, {
      json: { subject: digest, referrers: found },
      text: () =>
        found.length === 0
          ? ""
          : table([
              ["digest", "size", "artifact type"],
              ...found.map((referrer) => [referrer.digest, `${referrer.size}`, referrer.artifactType ?? "-"]),
            ]),
    });
  });
}
