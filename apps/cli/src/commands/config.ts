import { LOCATION_FORMS } from "@lamella/image-store";
import { Command } from "commander";

import { withImage } from "../documents.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { writeOut } from "../output.js";

export function configCommand(): Command {
  const command = new Command("config").argument("<source>", LOCATION_FORMS).action(print);
  return addGlobalOptions(command);
}

async function print(source: string, options: GlobalOptions): Promise<void> {
  await withImage(source, options, async ({ image, document }) => {
    const { manifest } = await image(options.platform);
    await writeOut(await document(manifest.config));
  });
}
