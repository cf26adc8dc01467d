import { createEmptyExt4Disk } from "@lamella/disk-export";
import { Command, Option } from "commander";

import { ext4Options } from "../disk-options.js";
import type { DiskFlags } from "../disk-options.js";
import { withInterruption } from "../interruption.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { printResult, table } from "../output.js";
import { showProgress } from "../progress.js";
import { formatSize, parseCount, parseSize } from "../size.js";

interface EmptyDiskOptions extends GlobalOptions, DiskFlags {
  output: string;
  size: number;
}

export function diskEmptyCommand(): Command {
  const command = new Command("empty")
    .description("make an empty ext4 disk, for a machine's data")
    .requiredOption("-o, --output <file>", "the disk to write")
    .addOption(new Option("--size <bytes>", "the size of the disk, as 10G").argParser(parseSize).makeOptionMandatory())
    .option("--label <name>", "the volume's name")
    .option("--uuid <uuid>", "the volume's UUID; default: the same for each empty disk")
    .option("--journal", "with a journal; default: from 8 MiB on")
    .option("--no-journal", "without one")
    .addOption(new Option("--inodes <number>", "at least so many inodes").argParser(parseCount))
    .addOption(new Option("--reserved <percent>", "what only root may fill; default: 0").argParser(parseCount))
    .option("--kernel <version>", "refuse what this Linux cannot read, as 6.1")
    .action(writeEmptyDisk);
  return addGlobalOptions(command).exitOverride().showHelpAfterError("(add --help for what there is)");
}

async function writeEmptyDisk(options: EmptyDiskOptions): Promise<void> {
  const { output, size } = options;
  const progress = showProgress(options, `Writing ${output}`);
  const wanted = ext4Options(options, process.env);
  try {
    await withInterruption(async (signal) => {
      const { sizeBytes } = await createEmptyExt4Disk(output, size, { ...wanted, onProgress: progress.disk, signal });
      printResult(options, output === "-" ? process.stderr : process.stdout, {
        json: { output, format: "ext4", sizeBytes },
        text: () =>
          table([
            ["file", "format", "size"],
            [output, "ext4", formatSize(sizeBytes)],
          ]),
      });
    });
  } finally {
    progress.stop();
  }
}
