import { openDestination, openNamedRepository } from "@lamella/image-store";
import { openOciLayout } from "@lamella/oci-client";
import { formatReference } from "@lamella/refs";
import { Command } from "commander";

import { runCopy } from "../copy-run.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { withRegistries } from "../registry-session.js";

export function pushCommand(): Command {
  const command = new Command("push")
    .argument("<image>", "its name in the store: the reference it was pulled by")
    .argument("[reference]", "where to; default: the name itself")
    .action(push);
  return addGlobalOptions(command);
}

async function push(image: string, reference: string | undefined, options: GlobalOptions): Promise<void> {
  await withRegistries(options, async ({ client, signal }) => {
    const name = formatReference(openNamedRepository(image, client).reference);
    const to = reference ?? image;
    const target = openNamedRepository(to, client);
    const images = await openOciLayout(options.root, { signal });
    const destination = await openDestination(formatReference(target.reference), client, { signal });
    await runCopy({ images, name }, destination, { to, title: `Pushing ${to}`, options, copy: { signal } });
  });
}
