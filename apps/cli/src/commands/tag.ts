import { formatReference, parseReference, withDefaultTag } from "@lamella/refs";
import { Command } from "commander";

import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult } from "../output.js";
import { withStore } from "../store-session.js";

export function tagCommand(): Command {
  const command = new Command("tag")
    .argument("<image>", "its name, its digest, or the first 7 or more digits of that")
    .argument("<name>", "the name it gets, which another image loses")
    .action(tag);
  return addGlobalOptions(command);
}

async function tag(image: string, text: string, options: GlobalOptions): Promise<void> {
  const name = formatReference(withDefaultTag(parseReference(text)));
  await withStore(options, async (store, signal) => {
    await store.tag(name, image, { signal });
    const { digest } = await store.resolve(name, { signal });
    printResult(options, process.stdout, {
      json: { reference: name, digest },
      text: () => `${name}@${digest}\n`,
    });
  });
}
