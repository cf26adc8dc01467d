import { Command } from "commander";

import { printResult } from "../../output.js";
import { keptLabels } from "../../snapshot-image.js";
import {
  addLabelOption,
  addSnapshotOptions,
  type LabelOptions,
  type SnapshotCommandOptions,
  withSnapshots,
} from "../../snapshot-session.js";

export function snapshotCommitCommand(): Command {
  const command = new Command("commit")
    .description("make an active snapshot one that never changes, and can be a parent")
    .argument("<name>", "what it is named by then")
    .argument("<key>", "the active snapshot, which is gone then")
    .action(commit);
  return addSnapshotOptions(addLabelOption(command));
}

async function commit(name: string, key: string, options: SnapshotCommandOptions & LabelOptions): Promise<void> {
  await withSnapshots(options, async (snapshotter, signal) => {
    const { parent, labels } = await snapshotter.stat(key, { signal });
    await snapshotter.commit(name, key, { labels: { ...keptLabels(labels), ...options.label }, signal });
    printResult(options, process.stdout, { json: { name, key, parent }, text: () => `${name}\n` });
  });
}
