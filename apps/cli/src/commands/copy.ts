import { LOCATION_FORMS, openDestination } from "@lamella/image-store";
import { Command, InvalidArgumentError, Option } from "commander";

import { runCopy } from "../copy-run.js";
import { addGlobalOptions, chosenPlatform } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { withRegistries } from "../registry-session.js";
import { parseSize } from "../size.js";
import { withSource } from "../source-session.js";

interface CopyOptions extends GlobalOptions {
  parallel: number;
  chunkSize?: number;
  foreignLayers: "skip" | "refuse" | "copy";
}

export function copyCommand(): Command {
  const command = new Command("copy")
    .argument("<source>", LOCATION_FORMS)
    .argument("<destination>", "the same; an archive is replaced, a layout is added to")
    .addOption(new Option("--parallel <count>", "how many blobs at once").default(4).argParser(parseCount))
    .addOption(new Option("--chunk-size <bytes>", "send blobs to a registry in pieces, as 16M").argParser(parseSize))
    .addOption(
      new Option("--foreign-layers <how>", "what to do with layers that only their own address has")
        .choices(["skip", "refuse", "copy"])
        .default("skip"),
    )
    .addOption(
      new Option("--foreign-urls", "copy them from their own address, where the source lacks them").implies({
        foreignLayers: "copy",
      }),
    )
    .addHelpText("after", "\nAll platforms are copied unless --platform chooses one.")
    .action(copy);
  return addGlobalOptions(command);
}

async function copy(from: string, to: string, options: CopyOptions, command: Command): Promise<void> {
  const { root, parallel: concurrency, chunkSize: chunkBytes, foreignLayers } = options;
  await withRegistries(options, ({ client, signal }) =>
    withSource(from, { client, root, signal }, async (source) => {
      const destination = await openDestination(to, client, { signal });
      try {
        const platform = chosenPlatform(command);
        await runCopy(source, destination, {
          to,
          title: `Copying ${from}`,
          options,
          copy: { platform, concurrency, chunkBytes, foreignLayers, signal },
        });
      } finally {
        await destination.close();
      }
    }),
  );
}

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d{1,3}$/.test(text) && count > 0) return count;
  throw new InvalidArgumentError("expected a number from 1 to 999");
}
