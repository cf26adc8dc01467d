import { removeAbandonedSnapshots } from "@lamella/snapshot/node";
import { Command } from "commander";

import { printResult } from "../../output.js";
import { addSnapshotOptions, type SnapshotCommandOptions, withSnapshots } from "../../snapshot-session.js";

export function snapshotCleanupCommand(): Command {
  const command = new Command("cleanup")
    .description("remove what killed processes have left; safe at any time")
    .action(cleanup);
  return addSnapshotOptions(command);
}

async function cleanup(options: SnapshotCommandOptions): Promise<void> {
  await withSnapshots(options, async (snapshotter, signal) => {
    await removeAbandonedSnapshots(snapshotter, { signal });
    await snapshotter.cleanup({ signal });
    printResult(options, process.stdout, { json: {}, text: () => "" });
  });
}
