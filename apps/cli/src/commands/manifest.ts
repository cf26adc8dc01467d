import { LOCATION_FORMS } from "@lamella/image-store";
import { Command } from "commander";

import { withImage } from "../documents.js";
import { addGlobalOptions, chosenPlatform } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { writeOut } from "../output.js";

export function manifestCommand(): Command {
  const command = new Command("manifest")
    .argument("<source>", LOCATION_FORMS)
    .addHelpText("after", "\nOf an image for several platforms the index is printed unless --platform chooses one.")
    .action(print);
  return addGlobalOptions(command);
}

async function print(source: string, options: GlobalOptions, command: Command): Promise<void> {
  await withImage(source, options, async ({ root, image, document }) => {
    const platform = chosenPlatform(command);
    const descriptor = platform === undefined ? root : (await image(platform)).descriptor;
    await writeOut(await document(descriptor));
  });
}
