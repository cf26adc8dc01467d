import { openDestination, openImageStore, withHeldImage } from "@lamella/image-store";
import { Command } from "commander";

import { runCopy } from "../copy-run.js";
import { addGlobalOptions, chosenPlatform } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { withRegistries } from "../registry-session.js";

export function pushCommand(): Command {
  const command = new Command("push")
    .argument("<image>", "its name, its digest, or the first 7 or more digits of that")
    .argument(
      "[destination]",
      "a reference, oci:DIR[:NAME], oci-archive:FILE or docker-archive:FILE; default: the name",
    )
    .action(push);
  return addGlobalOptions(command);
}

async function push(image: string, to: string | undefined, options: GlobalOptions, command: Command): Promise<void> {
  await withRegistries(options, async ({ client, signal }) => {
    await using store = await openImageStore(options.root, { signal });
    const destination = await openDestination(to ?? image, client, { signal });
    try {
      const platform = chosenPlatform(command);
      const run = { to: to ?? image, title: `Pushing ${image}`, options, copy: { platform, signal } };
      await withHeldImage(store, image, (source) => runCopy(source, destination, run), { signal });
    } finally {
      await destination.close();
    }
  });
}
