import { TREE_FORMS } from "@lamella/image-store";
import { byteString, resolvePath } from "@lamella/layer-format";
import { LamellaError } from "@lamella/refs";
import { Command } from "commander";

import { EntryNotFound } from "../entry-not-found.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { writeOut } from "../output.js";
import { withSession } from "../session.js";

export function catCommand(): Command {
  const command = new Command("cat")
    .argument("<source>", TREE_FORMS)
    .argument("<path>", "a file of the image; symlinks are followed")
    .action(print);
  return addGlobalOptions(command);
}

async function print(source: string, path: string, options: GlobalOptions): Promise<void> {
  await withSession(options, ({ withTree, signal }) =>
    withTree(source, async (tree) => {
      const entry = await resolvePath(tree, byteString(path), { signal });
      if (entry === undefined) throw new EntryNotFound(source, path);
      if (entry.kind !== "file")
        throw new LamellaError("not_file", `cannot print ${JSON.stringify(path)}: it is a ${entry.kind}`);
      for await (const chunk of tree.read(entry, { signal })) await writeOut(chunk);
    }),
  );
}
