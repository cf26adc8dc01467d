import { Command } from "commander";

import { printResult } from "../../output.js";
import { addSnapshotOptions, type SnapshotCommandOptions, withSnapshots } from "../../snapshot-session.js";

export function snapshotRmCommand(): Command {
  const command = new Command("rm")
    .description("remove snapshots, in this order; what is a parent stays")
    .argument("<name...>", "keys or names")
    .action(remove);
  return addSnapshotOptions(command);
}

async function remove(names: readonly string[], options: SnapshotCommandOptions): Promise<void> {
  await withSnapshots(options, async (snapshotter, signal) => {
    for (const name of names) await snapshotter.remove(name, { signal });
    printResult(options, process.stdout, {
      json: { removed: names },
      text: () => names.map((name) => `${name}\n`).join(""),
    });
  });
}
