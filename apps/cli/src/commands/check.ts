import { checkImageStore } from "@lamella/image-store";
import type { Finding } from "@lamella/image-store";
import { quote } from "@lamella/refs";
import { Command } from "commander";

import { EXIT } from "../exit-status.js";
import { withInterruption } from "../interruption.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { note, printResult } from "../output.js";

export function checkCommand(): Command {
  const command = new Command("check")
    .option("--repair", "drop what is damaged, and make anew what can be made of the rest", false)
    .action(check);
  return addGlobalOptions(command);
}

interface CheckCommandOptions extends GlobalOptions {
  repair: boolean;
}

/** A line for each finding, as it is found. */
async function check(options: CheckCommandOptions): Promise<void> {
  await withInterruption(async (signal) => {
    const { repair, root } = options;
    let count = 0;
    for await (const finding of checkImageStore(root, { repair, signal })) {
      count++;
      printResult(options, process.stdout, { json: finding, text: () => findingText(finding) });
    }
    if (count === 0) note(options, "nothing is wrong");
    else if (!repair) process.exitCode = EXIT.verification;
  });
}

const NOUNS: Readonly<Record<Finding["kind"], string>> = {
  database_damaged: "database",
  blob_damaged: "blob",
  image_incomplete: "image",
  image_wrong: "image",
  image_unrecorded: "name",
  name_broken: "name",
  layer_damaged: "layer archive",
  disk_damaged: "disk",
  index_wrong: "file",
};

function findingText({ kind, subject, problem, repair }: Finding): string {
  const title = `${NOUNS[kind]} ${kind === "name_broken" || kind === "image_unrecorded" ? quote(subject) : subject}`;
  return `${title}: ${problem}${repair === undefined ? "" : `; ${repair}`}\n`;
}
