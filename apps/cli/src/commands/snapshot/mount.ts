import { mkdir } from "node:fs/promises";

import { createMounter } from "@lamella/snapshot/node";
import { Command } from "commander";

import { printResult } from "../../output.js";
import { addSnapshotOptions, type SnapshotCommandOptions, withSnapshots } from "../../snapshot-session.js";

export function snapshotMountCommand(): Command {
  const command = new Command("mount")
    .description("show a snapshot in a directory, where it can be changed until umount")
    .argument("<key>", "an active snapshot, or a view")
    .argument("<directory>", "is made if need be")
    .addHelpText(
      "after",
      "\nThe tree driver unpacks it there, for which nobody has to be root; others mount, which takes root.",
    )
    .action(mount);
  return addSnapshotOptions(command);
}

export function snapshotUmountCommand(): Command {
  const command = new Command("umount")
    .description("end what mount has begun: what was changed is part of the snapshot then")
    .argument("<key>", "the snapshot")
    .argument("<directory>", "where it was mounted")
    .action(unmount);
  return addSnapshotOptions(command);
}

async function mount(key: string, directory: string, options: SnapshotCommandOptions): Promise<void> {
  await withSnapshots(options, async (snapshotter, signal) => {
    const mounts = await snapshotter.mounts(key, { signal });
    await mkdir(directory, { recursive: true });
    await createMounter().mount(mounts, directory, { signal });
    printResult(options, process.stdout, { json: { key, directory }, text: () => `${directory}\n` });
  });
}

async function unmount(key: string, directory: string, options: SnapshotCommandOptions): Promise<void> {
  await withSnapshots(options, async (snapshotter, signal) => {
    await createMounter().unmount(await snapshotter.mounts(key, { signal }), directory, { signal });
    printResult(options, process.stdout, { json: { key, directory }, text: () => `${directory}\n` });
  });
}
