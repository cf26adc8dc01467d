import { Command } from "commander";

import { printResult } from "../../output.js";
import { addSnapshotOptions, mountLine, type SnapshotCommandOptions, withSnapshots } from "../../snapshot-session.js";

export function snapshotMountsCommand(): Command {
  const command = new Command("mounts")
    .description("print how a snapshot would be mounted")
    .argument("<key>", "an active snapshot, or a view")
    .action(print);
  return addSnapshotOptions(command);
}

async function print(key: string, options: SnapshotCommandOptions): Promise<void> {
  await withSnapshots(options, async (snapshotter, signal) => {
    const mounts = await snapshotter.mounts(key, { signal });
    printResult(options, process.stdout, {
      json: { key, mounts },
      text: () => mounts.map((mount) => mountLine(mount, key)).join(""),
    });
  });
}
