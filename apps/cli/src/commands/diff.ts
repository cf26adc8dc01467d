import { TREE_FORMS } from "@lamella/image-store";
import { compareTrees, displayPath, ENTRY_ASPECTS } from "@lamella/layer-format";
import type { EntryAspect, TreeDifference } from "@lamella/layer-format";
import { Command, InvalidArgumentError, Option } from "commander";

import { entryJson } from "../entry-format.js";
import { EXIT } from "../exit-status.js";
import { addTreeOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { writeOut } from "../output.js";
import { withSession } from "../session.js";

interface DiffOptions extends GlobalOptions {
  ignore: readonly EntryAspect[];
}

const MARKS = { added: "+", removed: "-", changed: "~" } as const;

export function diffCommand(): Command {
  const command = new Command("diff")
    .argument("<before>", TREE_FORMS)
    .argument("<after>", "the same")
    .addOption(
      new Option("--ignore <aspects>", `differences that do not count: ${ENTRY_ASPECTS.join(", ")}`)
        .argParser(parseAspects)
        .default([], "none"),
    )
    .addHelpText("after", "\nExit status: 0 no difference, 1 there are differences, otherwise as of every command.")
    .action(compare);
  return addTreeOptions(command);
}

export function parseAspects(text: string): EntryAspect[] {
  return text.split(",").map((word) => {
    const aspect = ENTRY_ASPECTS.find((known) => known === word.trim());
    if (aspect === undefined) throw new InvalidArgumentError(`expected some of ${ENTRY_ASPECTS.join(", ")}`);
    return aspect;
  });
}

async function compare(before: string, after: string, options: DiffOptions): Promise<void> {
  const format = options.json ? differenceJson : differenceLine;
  await withSession(options, ({ withTree, signal }) =>
    withTree(before, (left) =>
      withTree(after, async (right) => {
        for await (const difference of compareTrees(left, right, { ignore: options.ignore, signal })) {
          process.exitCode = EXIT.failure;
          await writeOut(format(difference));
        }
      }),
    ),
  );
}

function differenceLine(difference: TreeDifference): string {
  const { change, entry } = difference;
  const aspects = difference.change === "changed" ? `  (${difference.aspects.join(", ")})` : "";
  return `${MARKS[change]} ${displayPath(`/${entry.path}`)}${aspects}\n`;
}

function differenceJson(difference: TreeDifference): string {
  const { change, entry } = difference;
  const document =
    difference.change === "changed"
      ? { change, aspects: difference.aspects, before: entryJson(difference.before), after: entryJson(entry) }
      : { change, [change === "added" ? "after" : "before"]: entryJson(entry) };
  return `${JSON.stringify(document)}\n`;
}
