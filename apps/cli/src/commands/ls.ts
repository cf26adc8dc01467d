import { TREE_FORMS } from "@lamella/image-store";
import { byteString, resolvePath } from "@lamella/layer-format";
import type { Entry, FileTree } from "@lamella/layer-format";
import { Command } from "commander";

import { entryJson, entryLine } from "../entry-format.js";
import { EntryNotFound } from "../entry-not-found.js";
import { addTreeOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { writeOut } from "../output.js";
import { withSession } from "../session.js";

interface LsOptions extends GlobalOptions {
  recursive: boolean;
}

export function lsCommand(): Command {
  const command = new Command("ls")
    .argument("<source>", TREE_FORMS)
    .argument("[path]", "a directory or a file of the image; symlinks are followed", "/")
    .option("-R, --recursive", "everything below it as well", false)
    .action(list);
  return addTreeOptions(command);
}

async function list(source: string, path: string, options: LsOptions): Promise<void> {
  await withSession(options, ({ withTree, signal }) =>
    withTree(source, async (tree) => {
      const top = await resolvePath(tree, byteString(path), { signal });
      if (top === undefined) throw new EntryNotFound(source, path);
      const format = options.json ? asJson : entryLine;
      let lines = "";
      for await (const entry of selectEntries(tree, top, options.recursive, signal)) {
        lines += format(entry);
        if (lines.length < 1 << 16) continue;
        await writeOut(lines);
        lines = "";
      }
      await writeOut(lines);
    }),
  );
}

async function* selectEntries(
  tree: FileTree,
  top: Entry,
  recursive: boolean,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  if (top.kind !== "directory") {
    yield top;
    return;
  }
  const prefix = top.path === "" ? "" : `${top.path}/`;
  for await (const entry of tree.entries({ signal })) {
    const below = entry.path !== "" && entry.path.startsWith(prefix);
    if (below && (recursive || !entry.path.includes("/", prefix.length))) yield entry;
  }
}

function asJson(entry: Entry): string {
  return `${JSON.stringify(entryJson(entry))}\n`;
}
