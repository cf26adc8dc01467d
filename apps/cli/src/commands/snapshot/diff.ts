import { createLayerFile } from "@lamella/layer-format/node";
import { diffSnapshot } from "@lamella/snapshot/node";
import { Command, Option } from "commander";

import { note, printResult, table } from "../../output.js";
import { formatSize } from "../../size.js";
import { sourceDateEpoch } from "../../source-date.js";
import { addSnapshotOptions, type SnapshotCommandOptions, withSnapshots } from "../../snapshot-session.js";

interface DiffOptions extends SnapshotCommandOptions {
  output: string;
  parent?: string;
  compression: "none" | "gzip" | "zstd";
}

export function snapshotDiffCommand(): Command {
  const command = new Command("diff")
    .description("write what a snapshot changes as a layer")
    .argument("<name>", "the snapshot: a key or a name")
    .requiredOption("-o, --output <file>", "the layer to write")
    .option("--parent <name>", "what it is compared with; default: its own parent")
    .addOption(
      new Option("--compression <how>", "how the layer is packed").choices(["none", "gzip", "zstd"]).default("gzip"),
    )
    .addHelpText("after", "\nSOURCE_DATE_EPOCH is the latest time that a file of the layer has.")
    .action(diff);
  return addSnapshotOptions(command);
}

async function diff(name: string, options: DiffOptions): Promise<void> {
  const { output, parent, compression } = options;
  const epoch = sourceDateEpoch(process.env);
  await withSnapshots(options, async (snapshotter, signal) => {
    await using file = await createLayerFile(output);
    const packed = await diffSnapshot(snapshotter, name, file, { parent, compression, sourceDateEpoch: epoch, signal });
    await file.commit();
    const { mediaType, digest, diffID, size, entryCount, omittedSockets } = packed;
    if (omittedSockets > 0) note(options, `warning: left out ${omittedSockets} sockets, which no layer can hold`);
    printResult(options, process.stdout, {
      json: { output, ...packed },
      text: () =>
        table([
          ["file", output],
          ["digest", digest],
          ["diffID", diffID],
          ["media type", mediaType],
          ["size", `${formatSize(size)}, ${entryCount} entries`],
        ]),
    });
  });
}
