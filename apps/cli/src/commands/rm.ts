import type { Removed } from "@lamella/image-store";
import { Command } from "commander";

import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult } from "../output.js";
import { withStore } from "../store-session.js";

export function rmCommand(): Command {
  const command = new Command("rm")
    .argument("<image...>", "names, digests, or the first 7 or more digits of those")
    .option("-f, --force", "by digest: with all names, however many", false)
    .action(rm);
  return addGlobalOptions(command);
}

interface RmOptions extends GlobalOptions {
  force: boolean;
}

async function rm(images: string[], options: RmOptions): Promise<void> {
  await withStore(options, async (store, signal) => {
    const { force } = options;
    const removed: Removed[] = [];
    for (const image of images) removed.push(await store.remove(image, { force, signal }));
    const result = {
      names: removed.flatMap(({ names }) => names),
      images: removed.flatMap((each) => each.images),
    };
    printResult(options, process.stdout, {
      json: result,
      text: () =>
        [
          ...result.names.map((name) => `removed name ${name}\n`),
          ...result.images.map((digest) => `removed image ${digest}\n`),
        ].join(""),
    });
  });
}
