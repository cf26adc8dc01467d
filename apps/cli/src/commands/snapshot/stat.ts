import { Command } from "commander";

import { printResult, table } from "../../output.js";
import { formatSize } from "../../size.js";
import {
  addSnapshotOptions,
  snapshotJson,
  type SnapshotCommandOptions,
  withSnapshots,
} from "../../snapshot-session.js";

export function snapshotStatCommand(): Command {
  const command = new Command("stat")
    .description("show what a snapshot is, and what it takes up without its parents")
    .argument("<name>", "a key or a name")
    .action(print);
  return addSnapshotOptions(command);
}

async function print(name: string, options: SnapshotCommandOptions): Promise<void> {
  await withSnapshots(options, async (snapshotter, signal) => {
    const info = await snapshotter.stat(name, { signal });
    const usage = await snapshotter.usage(name, { signal });
    printResult(options, process.stdout, {
      json: { ...snapshotJson(info), usage },
      text: () =>
        table([
          ["name", info.name],
          ["kind", info.kind],
          ["parent", info.parent ?? "-"],
          ["created", info.createdAt.toISOString()],
          ["updated", info.updatedAt.toISOString()],
          ["takes up", `${formatSize(usage.bytes)}, ${usage.inodes} inodes`],
          ...Object.entries(info.labels).map(([label, value]) => ["label", `${label}=${value}`]),
        ]),
    });
  });
}
