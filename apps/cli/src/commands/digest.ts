import { LOCATION_FORMS } from "@lamella/image-store";
import { Command } from "commander";

import { withImage } from "../documents.js";
import { addGlobalOptions, chosenPlatform } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult } from "../output.js";

export function digestCommand(): Command {
  const command = new Command("digest")
    .argument("<source>", LOCATION_FORMS)
    .addHelpText("after", "\nOf an image for several platforms it is the index's unless --platform chooses one.")
    .action(print);
  return addGlobalOptions(command);
}

async function print(source: string, options: GlobalOptions, command: Command): Promise<void> {
  await withImage(source, options, async ({ root, image }) => {
    const platform = chosenPlatform(command);
    const { mediaType, digest, size } = platform === undefined ? root : (await image(platform)).descriptor;
    printResult(options, process.stdout, { json: { mediaType, digest, size }, text: () => `${digest}\n` });
  });
}
