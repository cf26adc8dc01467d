import type { SnapshotInfo } from "@lamella/snapshot";
import { Command } from "commander";

import { printResult, table } from "../../output.js";
import {
  addSnapshotOptions,
  snapshotJson,
  type SnapshotCommandOptions,
  withSnapshots,
} from "../../snapshot-session.js";

export function snapshotLsCommand(): Command {
  const command = new Command("ls")
    .description("list snapshots")
    .argument("[filter...]", "as kind==active or name~=^extract-,labels.a==b: conditions, any of which has to match")
    .action(list);
  return addSnapshotOptions(command);
}

async function list(filters: readonly string[], options: SnapshotCommandOptions): Promise<void> {
  await withSnapshots(options, async (snapshotter, signal) => {
    const found: SnapshotInfo[] = [];
    for await (const info of snapshotter.walk({ filters, signal })) found.push(info);
    printResult(options, process.stdout, {
      json: found.map(snapshotJson),
      text: () =>
        table([
          ["kind", "created", "name", "parent"],
          ...found.map(({ kind, name, parent, createdAt }) => [kind, createdAt.toISOString(), name, parent ?? "-"]),
        ]),
    });
  });
}
