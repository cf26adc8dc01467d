import { TREE_FORMS } from "@lamella/image-store";
import { unpackTree } from "@lamella/layer-format/node";
import { Command } from "commander";

import { describeLoss } from "../losses.js";
import { addTreeOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { note, printResult, table } from "../output.js";
import { showProgress } from "../progress.js";
import { withSession } from "../session.js";
import { formatSize } from "../size.js";

export function unpackCommand(): Command {
  const command = new Command("unpack")
    .argument("<source>", TREE_FORMS)
    .argument("<directory>", "is made, or empty")
    .addHelpText(
      "after",
      "\nGNU tar does the writing. Owners, devices and most extended attributes take root; without it they are left out, and told.",
    )
    .action(unpack);
  return addTreeOptions(command);
}

async function unpack(source: string, directory: string, options: GlobalOptions): Promise<void> {
  await withSession(options, ({ withTree, signal }) =>
    withTree(source, async (tree, image) => {
      const started = performance.now();
      const progress = showProgress(options, `Unpacking into ${directory}`);
      const { entries, bytes, losses } = await unpackTree(tree, directory, {
        onProgress: progress.unpack,
        signal,
      }).finally(() => progress.stop());
      for (const loss of losses) note(options, `warning: left out ${describeLoss(loss)}`);
      const seconds = Math.round(performance.now() - started) / 1000;
      printResult(options, process.stdout, {
        json: { directory, entries, bytes, seconds, losses, image: image?.descriptor.digest },
        text: () =>
          table([
            ["directory", "entries", "size", "seconds"],
            [directory, String(entries), formatSize(bytes), seconds.toFixed(2)],
          ]),
      });
    }),
  );
}
