import { extname } from "node:path";

import { planDisk, writeDisk } from "@lamella/disk-export";
import type { DiskFormat, DiskPlan, PlanDiskOptions, WrittenDisk } from "@lamella/disk-export";
import { TREE_FORMS } from "@lamella/image-store";
import { displayPath } from "@lamella/layer-format";
import { Command, Option } from "commander";

import { DISK_FORMATS, planOptions } from "../disk-options.js";
import type { DiskFlags } from "../disk-options.js";
import { addGlobalOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { note, printResult, table } from "../output.js";
import { showProgress } from "../progress.js";
import { withSession } from "../session.js";
import { formatSize, parseSize } from "../size.js";

interface DiskOptions extends GlobalOptions, DiskFlags {
  output: string;
  format?: DiskFormat;
  digest: boolean;
}

export function diskCommand(): Command {
  const command = new Command("disk")
    .argument("<source>", TREE_FORMS)
    .requiredOption("-o, --output <file>", "the disk to write; - for stdout")
    .addOption(new Option("--format <format>", "default: by the output's suffix, else ext4").choices(DISK_FORMATS))
    .addOption(new Option("--size <bytes>", "ext4: the size of the disk, as 2G").argParser(parseSize).conflicts("free"))
    .addOption(new Option("--free <bytes>", "ext4: how much room to leave, as 512M").argParser(parseSize))
    .option("--label <name>", "ext4, erofs: the volume's name")
    .option("--uuid <uuid>", "ext4, erofs: the volume's UUID; default: derived from the content")
    .option("--digest", "give the SHA-256 of the whole disk as well", false)
    .action(writeImageDisk);
  return addGlobalOptions(command);
}

async function writeImageDisk(source: string, options: DiskOptions): Promise<void> {
  const { output } = options;
  const wanted = planOptions(options.format ?? formatOf(output), options, process.env);
  await withSession(options, ({ withTree, signal }) =>
    withTree(source, async (tree, image) => {
      const started = performance.now();
      const plan = await planDisk(tree, { ...wanted, signal });
      const written = await writeWithProgress(plan, options, signal);
      warnOfLosses(plan, options);
      const seconds = Math.round(performance.now() - started) / 1000;
      const { format, losses } = plan;
      const { sizeBytes, digest } = written;
      printResult(options, output === "-" ? process.stderr : process.stdout, {
        json: { output, format, sizeBytes, seconds, digest, image: image?.descriptor.digest, losses },
        text: () => {
          const head = ["file", "format", "size", "seconds"];
          const row = [output, format, formatSize(sizeBytes), seconds.toFixed(2)];
          return digest === undefined
            ? table([head, row])
            : table([
                [...head, "digest"],
                [...row, digest],
              ]);
        },
      });
    }),
  );
}

async function writeWithProgress(plan: DiskPlan, options: DiskOptions, signal: AbortSignal): Promise<WrittenDisk> {
  const progress = showProgress(options, `Writing ${options.output}`);
  try {
    return await writeDisk(plan, options.output, { digest: options.digest, onProgress: progress.disk, signal });
  } finally {
    progress.stop();
  }
}

function warnOfLosses({ format, losses }: DiskPlan, options: GlobalOptions): void {
  for (const { what, count, paths } of losses) {
    const more = count > paths.length ? ` and ${count - paths.length} more` : "";
    note(options, `warning: ${format} cannot hold ${what}: lost of ${paths.map(displayPath).join(", ")}${more}`);
  }
}

function formatOf(output: string): PlanDiskOptions["format"] {
  const suffix = extname(output).slice(1);
  return DISK_FORMATS.find((format) => format === suffix) ?? "ext4";
}
