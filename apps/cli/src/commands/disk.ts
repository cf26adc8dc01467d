import { planDisk, verityKernelArguments, writeDisk } from "@lamella/disk-export";
import type { DiskFormat, DiskPlan, Verity, WrittenDisk } from "@lamella/disk-export";
import { TREE_FORMS } from "@lamella/image-store";
import { Command, Option } from "commander";

import { COMPRESSIONS, DISK_FORMATS, formatOfName, planOptions, requireDiskFlags } from "../disk-options.js";
import type { DiskFlags } from "../disk-options.js";
import { describeLoss } from "../losses.js";
import { addTreeOptions } from "../options.js";
import type { GlobalOptions } from "../options.js";
import { note, printResult, table } from "../output.js";
import { showProgress } from "../progress.js";
import { withSession } from "../session.js";
import { formatSize, parseCount, parseSize } from "../size.js";
import { diskEmptyCommand } from "./disk-empty.js";

/** How a virtual machine's first disk is named, for what is printed. */
const DEVICE = "/dev/vda";
/** What the tree of a directory lacks already, so that no plan can count it. */
const UNREAD_OF_DIRECTORY = { what: "xattrs", count: null, paths: [] };

interface DiskOptions extends GlobalOptions, DiskFlags {
  output?: string;
  format?: DiskFormat;
  digest: boolean;
}

interface MadeDisk {
  readonly output: string;
  readonly plan: DiskPlan;
  readonly written: WrittenDisk;
  readonly seconds: number;
}

export function diskCommand(): Command {
  const command = new Command("disk")
    .argument("[source]", TREE_FORMS)
    .usage("<source> -o <file> [options]\n       lamella disk empty -o <file> --size <bytes> [options]")
    .option("-o, --output <file>", "the disk to write; - for stdout")
    .addOption(new Option("--format <format>", "default: by the output's suffix, else ext4").choices(DISK_FORMATS))
    .option("--digest", "give the SHA-256 of the whole disk as well", false)
    .optionsGroup("File system:")
    .option("--label <name>", "ext4, erofs: the volume's name")
    .option("--uuid <uuid>", "ext4, erofs: the volume's UUID; default: derived from the content")
    .addOption(
      new Option(
        "--compress <how>",
        "erofs: lz4, deflate or zstd; cpio, tar: gzip; default: none, or as the output's suffix says",
      ).choices(COMPRESSIONS),
    )
    .option("--dedupe", "erofs: keep equal files, and equal blocks of files, once")
    .addOption(new Option("--threads <number>", "erofs: how many compress; default: one a core").argParser(parseCount))
    .option("--kernel <version>", "ext4, erofs: refuse what this Linux cannot read, as 6.1")
    .optionsGroup("Room, ext4 only; by default the disk is as small as can be:")
    .addOption(new Option("--size <bytes>", "the size of the disk, as 2G").argParser(parseSize).conflicts("free"))
    .addOption(new Option("--free <bytes>", "how much room to leave, as 512M").argParser(parseSize))
    .option("--journal", "with a journal; default: where --size or --free asks for room")
    .option("--no-journal", "without one")
    .addOption(new Option("--inodes <number>", "at least so many inodes").argParser(parseCount))
    .addOption(new Option("--reserved <percent>", "what only root may fill; default: 0").argParser(parseCount))
    .optionsGroup("Around the file system:")
    .option("--verity", "ext4, erofs: append dm-verity's hash tree, and give the root hash")
    .option("--gpt", "ext4, erofs: in a partition table, as the one root partition")
    .addOption(new Option("--align <bytes>", "make the size a multiple of this, as 1M").argParser(parseSize))
    .optionsGroup("Options:")
    .action(writeImageDisk)
    .enablePositionalOptions()
    .addCommand(diskEmptyCommand());
  return addTreeOptions(command);
}

async function writeImageDisk(source: string | undefined, options: DiskOptions, command: Command): Promise<void> {
  const { output } = options;
  if (source === undefined) command.error("error: missing required argument 'source'");
  if (output === undefined) command.error("error: required option '-o, --output <file>' not specified");
  const named = formatOfName(output);
  const { format = named.format } = options;
  const flags = format === named.format ? { ...named.flags, ...options } : options;
  requireDiskFlags(format, flags);
  await withSession(options, ({ withTree, signal }) =>
    withTree(source, async (tree, image) => {
      const started = performance.now();
      const { architecture } = image?.config ?? options.platform;
      const wanted = planOptions(format, flags, { architecture, environment: process.env });
      await using plan = await showing(options, `Reading for ${output}`, ({ plan: onProgress }) =>
        planDisk(tree, { ...wanted, onProgress, signal }),
      );
      const written = await showing(options, `Writing ${output}`, ({ disk: onProgress }) =>
        writeDisk(plan, output, { digest: options.digest, onProgress, signal }),
      );
      const lacksXattrs = source.startsWith("dir:") && options.xattrs !== true;
      if (lacksXattrs)
        note(options, "warning: xattrs of a directory are not read without --xattrs: no file capabilities, no ACLs");
      const losses = lacksXattrs ? [UNREAD_OF_DIRECTORY, ...plan.losses] : plan.losses;
      warnOfLosses(plan, options);
      const made = { output, plan, written, seconds: Math.round(performance.now() - started) / 1000 };
      printResult(options, output === "-" ? process.stderr : process.stdout, {
        json: { ...summarizeDisk(made), losses, image: image?.descriptor.digest },
        text: () => describeDisk(made),
      });
    }),
  );
}

async function showing<Result>(
  options: GlobalOptions,
  title: string,
  work: (progress: ReturnType<typeof showProgress>) => Promise<Result>,
): Promise<Result> {
  const progress = showProgress(options, title);
  try {
    return await work(progress);
  } finally {
    progress.stop();
  }
}

function summarizeDisk({ output, plan, written, seconds }: MadeDisk): object {
  const { format, kernel, partition, verity } = plan;
  const guard = verity && { ...verity, ...opening(verity, plan) };
  return { output, format, ...written, seconds, kernel, partition, verity: guard };
}

function describeDisk({ output, plan, written: { sizeBytes, digest }, seconds }: MadeDisk): string {
  const { format, verity } = plan;
  const head = ["file", "format", "size", "seconds"];
  const row = [output, format, formatSize(sizeBytes), seconds.toFixed(2)];
  const disk =
    digest === undefined
      ? table([head, row])
      : table([
          [...head, "digest"],
          [...row, digest],
        ]);
  if (verity === undefined) return disk;
  const { open, kernelArguments } = opening(verity, plan);
  const guard = table([
    ["root hash", verity.rootHash],
    ["open", open],
    ["kernel", kernelArguments],
  ]);
  return `${disk}\n${guard}`;
}

/** How a machine that has the disk as its first opens it. */
function opening(verity: Verity, { partition }: DiskPlan): { open: string; kernelArguments: string } {
  const device = partition === undefined ? DEVICE : `${DEVICE}1`;
  return {
    open: `veritysetup open ${device} root ${device} ${verity.rootHash} --hash-offset=${verity.hashOffset}`,
    kernelArguments: verityKernelArguments(verity, { device }),
  };
}

function warnOfLosses({ format, losses }: DiskPlan, options: GlobalOptions): void {
  for (const loss of losses) note(options, `warning: ${format} cannot hold ${describeLoss(loss)}`);
}
