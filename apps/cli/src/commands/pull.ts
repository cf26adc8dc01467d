import { LOCATION_FORMS } from "@lamella/image-store";
import { formatReference, parseReference, withDefaultTag } from "@lamella/refs";
import { Command } from "commander";

import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult } from "../output.js";
import { withSession } from "../session.js";
import { formatSize } from "../size.js";

export function pullCommand(): Command {
  const command = new Command("pull")
    .argument("<source>", LOCATION_FORMS)
    .option("--name <reference>", "what to keep it as; needed where the source is not a registry")
    .option("--foreign-urls", "bring layers that only their own address has from there")
    .action(pull);
  return addGlobalOptions(command);
}

interface PullOptions extends GlobalOptions {
  name?: string;
}

async function pull(source: string, options: PullOptions): Promise<void> {
  const wanted = options.name === undefined ? undefined : formatReference(withDefaultTag(parseReference(options.name)));
  await withSession(options, async (session) => {
    const { image, name: reference } = await session.keep(source, wanted);
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
