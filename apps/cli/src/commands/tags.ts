import { openNamedRepository } from "@lamella/image-store";
import { Command } from "commander";

import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { writeOut } from "../output.js";
import { withRegistries } from "../registry-session.js";

export function tagsCommand(): Command {
  const command = new Command("tags")
    .argument("<repository>", "a reference (alpine); its tag plays no part")
    .action(listTags);
  return addGlobalOptions(command);
}

async function listTags(text: string, options: GlobalOptions): Promise<void> {
  await withRegistries(options, async ({ client, signal }) => {
    const { repository } = openNamedRepository(text, client);
    const tags: string[] = [];
    for await (const tag of repository.tags({ signal })) {
      if (options.json) tags.push(tag);
      else await writeOut(`${tag}\n`);
    }
    if (options.json) await writeOut(`${JSON.stringify(tags)}\n`);
  });
}
