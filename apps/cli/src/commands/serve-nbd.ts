import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { planDisk } from "@lamella/disk-export";
import type { DiskPlan } from "@lamella/disk-export";
import { TREE_FORMS } from "@lamella/image-store";
import { serveNbd } from "@lamella/nbd";
import type { NbdListen, NbdServer, NbdStats } from "@lamella/nbd";
import { Command, Option } from "commander";

import { planOptions, requireDiskFlags } from "../disk-options.js";
import type { DiskFlags } from "../disk-options.js";
import { messageOf } from "../error-message.js";
import type { OpenedTree } from "../lazy-source.js";
import { describeLoss } from "../losses.js";
import { addTreeOptions } from "../options.js";
import { note, printResult } from "../output.js";
import { addServingOptions, untilAborted, warnOnce, withServedTree } from "../serving.js";
import type { ServingOptions } from "../serving.js";
import { formatSize, parseCount, parseSize } from "../size.js";

interface ServeNbdOptions extends ServingOptions, DiskFlags {
  format: "ext4" | "erofs";
  socket?: string;
  port?: number;
}

export function serveNbdCommand(): Command {
  const command = new Command("nbd")
    .description("serve an image as a disk that is made when it is read, until Ctrl-C or SIGTERM")
    .argument("<source>", TREE_FORMS)
    .addOption(new Option("--format <format>", "the file system").choices(["ext4", "erofs"]).makeOptionMandatory())
    .option(
      "--socket <path>",
      "the unix socket to listen on, for this user alone; default: one in a directory of its own",
    )
    .addOption(
      new Option("--port <number>", "a port of 127.0.0.1 instead, which every user of this machine can read; 0 for any")
        .argParser(parseCount)
        .conflicts("socket"),
    );
  addServingOptions(command)
    .optionsGroup("File system:")
    .option("--label <name>", "the volume's name")
    .option("--uuid <uuid>", "the volume's UUID; default: derived from the content")
    .option("--kernel <version>", "refuse what this Linux cannot read, as 6.1")
    .option("--gpt", "in a partition table, as the one root partition")
    .addOption(new Option("--align <bytes>", "make the size a multiple of this, as 1M").argParser(parseSize))
    .optionsGroup(
      "Room, ext4 only, for what a client keeps above the disk, which is read-only; by default there is none:",
    )
    .addOption(new Option("--size <bytes>", "the size of the disk, as 2G").argParser(parseSize).conflicts("free"))
    .addOption(new Option("--free <bytes>", "how much room to leave, as 512M").argParser(parseSize))
    .option("--journal", "with a journal; default: where --size or --free asks for room")
    .option("--no-journal", "without one")
    .addOption(new Option("--inodes <number>", "at least so many inodes").argParser(parseCount))
    .optionsGroup("Options:")
    .action(serveImageDisk);
  return addTreeOptions(command);
}

async function serveImageDisk(source: string, options: ServeNbdOptions): Promise<void> {
  requireDiskFlags(options.format, options);
  await withServedTree(source, options, (opened) => serveTree(source, options, opened));
}

async function serveTree(source: string, options: ServeNbdOptions, opened: OpenedTree): Promise<void> {
  const { format } = options;
  const { tree, image, layers, signal } = opened;
  const { architecture } = image?.config ?? options.platform;
  const wanted = planOptions(format, options, { architecture, environment: process.env });
  await using plan = await planDisk(tree, { ...wanted, signal });
  if (source.startsWith("dir:") && options.xattrs !== true)
    note(options, "warning: xattrs of a directory are not read without --xattrs: no file capabilities, no ACLs");
  for (const loss of plan.losses) note(options, `warning: ${format} cannot hold ${describeLoss(loss)}`);
  await withAddress(options, async (listen) => {
    const warn = warnOnce(options);
    const onReadError = (error: unknown): void => warn(messageOf(error));
    const limits = { readTimeoutMs: options.timeout };
    await using server = await serveNbd(plan, { ...listen, limits, onReadError, onDrop: onReadError });
    printServing(server, plan, { options, image: image?.descriptor.digest });
    await untilAborted(signal);
    await server.close();
    printServed(server.stats(), { options, layers });
  });
}

/** Where to listen; a directory that was made for it goes again. */
async function withAddress(
  { socket, port }: ServeNbdOptions,
  use: (listen: NbdListen) => Promise<void>,
): Promise<void> {
  if (port !== undefined) return use({ port });
  if (socket !== undefined) return use({ path: socket });
  const directory = await mkdtemp(join(process.env["XDG_RUNTIME_DIR"] || tmpdir(), "lamella-nbd-"));
  try {
    await use({ path: join(directory, "disk.sock") });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface Served {
  readonly options: ServeNbdOptions;
  readonly image: string | undefined;
}

function printServing(server: NbdServer, plan: DiskPlan, { options, image }: Served): void {
  const { format, sizeBytes, kernel, partition, losses } = plan;
  const { address } = server;
  const where = address.kind === "unix" ? { socket: address.path } : { host: address.host, port: address.port };
  printResult(options, process.stdout, {
    json: { uri: server.uri(), ...where, format, sizeBytes, kernel, partition, losses, image },
    text: () => `${server.uri()}\n`,
  });
}

/** What it came to, when it ends: a second line of JSON, or a note. */
function printServed(
  stats: NbdStats,
  { options, layers }: { options: ServeNbdOptions } & Pick<OpenedTree, "layers">,
): void {
  const blobs = layers.map((layer) => layer.info());
  const fetchedBytes = blobs.reduce((sum, { fetchedSize }) => sum + fetchedSize, 0);
  const imageBytes = blobs.reduce((sum, { size }) => sum + size, 0);
  if (options.json) {
    const lazy = options.lazy ? { fetchedBytes, imageBytes } : {};
    return printResult(options, process.stdout, { json: { ...stats, ...lazy }, text: () => "" });
  }
  const { clients, requests, failedRequests, bytesSent } = stats;
  const served = `served ${formatSize(bytesSent)} in ${requests} requests of ${clients} clients, ${failedRequests} of them failed`;
  const fetched = layers.length > 0 ? `; ${formatSize(fetchedBytes)} of ${formatSize(imageBytes)} are here` : "";
  note(options, `${served}${fetched}`);
}
