import { LOCATION_FORMS } from "@lamella/image-store";
import { Command } from "commander";

import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult } from "../output.js";
import { withSession } from "../session.js";
import { formatSize } from "../size.js";

export function pullCommand(): Command {
  const command = new Command("pull")
    .description("bring an image into the store")
    .argument("<source>", LOCATION_FORMS)
    .action(pull);
  return addGlobalOptions(command);
}

async function pull(source: string, options: GlobalOptions): Promise<void> {
  await withSession(options, async (session) => {
    const { image, reference = source } = await session.pull(source);
    const sizeBytes = image.layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
    const { digest } = image.root;
    const layers = image.layers.map(({ descriptor, diffID }) => ({
      digest: descriptor.digest,
      diffID,
      sizeBytes: descriptor.size,
    }));
    printResult(options, process.stdout, {
      json: { reference, digest, manifest: image.descriptor.digest, sizeBytes, layers },
      text: () => `${reference}@${digest}  ${layers.length} layers, ${formatSize(sizeBytes)}\n`,
    });
  });
}
