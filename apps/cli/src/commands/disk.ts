import { extname } from "node:path";

import { planDisk, writeDisk } from "@lamella/disk-export";
import type { DiskFormat } from "@lamella/disk-export";
import { Command, Option } from "commander";

import { addGlobalOptions, argument } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { note, printResult, table } from "../output.js";
import { showProgress } from "../progress.js";
import { withSession } from "../session.js";
import { formatSize, parseSize } from "../size.js";

const FORMATS = ["ext4", "erofs", "cpio"] as const;

interface DiskOptions extends GlobalOptions {
  output: string;
  format?: DiskFormat;
  size?: number;
  free?: number;
  label?: string;
  uuid?: string;
  digest: boolean;
}

export function diskCommand(): Command {
  const command = new Command("disk")
    .description("write an image as a disk")
    .argument("<source>", "a reference (alpine:3.20) or oci:DIR[:NAME]")
    .requiredOption("-o, --output <file>", "the disk to write; - for stdout")
    .addOption(new Option("--format <format>", "default: by the output's suffix, else ext4").choices(FORMATS))
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
  const format = options.format ?? formatOf(output);
  await withSession(options, ({ withTree, signal }) =>
    withTree(source, async (tree, image) => {
      const started = performance.now();
      const plan = await planDisk(tree, {
        format,
        sizeBytes: options.size,
        freeBytes: options.free,
        label: options.label,
        uuid: options.uuid,
        epochSeconds: sourceDateEpoch(),
        signal,
      });
      const progress = showProgress(options, `Writing ${output}`);
      let written;
      try {
        written = await writeDisk(plan, output, { digest: options.digest, onProgress: progress.disk, signal });
      } finally {
        progress.stop();
      }
      for (const { what, count, paths } of plan.losses) {
        const more = count > paths.length ? ` and ${count - paths.length} more` : "";
        note(options, `warning: ${format} cannot hold ${what}: lost of ${paths.join(", ")}${more}`);
      }
      const seconds = Math.round(performance.now() - started) / 1000;
      const digest = written.digest;
      printResult(options, output === "-" ? process.stderr : process.stdout, {
        json: { output, format, sizeBytes: written.sizeBytes, seconds, digest, image: image.descriptor.digest, losses: plan.losses },
        text: () => table([["file", "format", "size", "seconds", ...(digest ? ["digest"] : [])], [output, format, formatSize(written.sizeBytes), seconds.toFixed(2), ...(digest ? [digest] : [])]]),
      });
    }),
  );
}

function formatOf(output: string): DiskFormat {
  const suffix = extname(output).slice(1);
  return FORMATS.find((format) => format === suffix) ?? "ext4";
}

/** https://reproducible-builds.org/specs/source-date-epoch/ */
const sourceDateEpoch = (): number | undefined => {
  const text = process.env["SOURCE_DATE_EPOCH"];
  return text === undefined || text === "" ? undefined : argument(parseEpoch)(text);
};

function parseEpoch(text: string): number {
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(seconds)) throw new Error("SOURCE_DATE_EPOCH is not a count of seconds");
  return seconds;
}
