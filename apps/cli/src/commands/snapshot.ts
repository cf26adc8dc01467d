import { Command } from "commander";

import { snapshotCleanupCommand } from "./snapshot/cleanup.js";
import { snapshotCommitCommand } from "./snapshot/commit.js";
import { snapshotDiffCommand } from "./snapshot/diff.js";
import { snapshotImageCommand } from "./snapshot/image.js";
import { snapshotLsCommand } from "./snapshot/ls.js";
import { snapshotMountCommand, snapshotUmountCommand } from "./snapshot/mount.js";
import { snapshotMountsCommand } from "./snapshot/mounts.js";
import { snapshotPrepareCommand, snapshotViewCommand } from "./snapshot/prepare.js";
import { snapshotRmCommand } from "./snapshot/rm.js";
import { snapshotStatCommand } from "./snapshot/stat.js";

export function snapshotCommand(): Command {
  const command = new Command("snapshot").addHelpText(
    "after",
    `
An active snapshot is named by its KEY and can be changed; committed, it has a NAME and can be a PARENT. Keys and names are one space.

  lamella snapshot prepare work --image alpine:3.20
  lamella snapshot mount work DIR                  (change what is in DIR)
  lamella snapshot umount work DIR
  lamella snapshot image work oci:OUT:mine         (an image: the layers of alpine, and one more)`,
  );
  const subcommands = [
    snapshotPrepareCommand(),
    snapshotViewCommand(),
    snapshotMountCommand(),
    snapshotUmountCommand(),
    snapshotCommitCommand(),
    snapshotImageCommand(),
    snapshotDiffCommand(),
    snapshotMountsCommand(),
    snapshotLsCommand(),
    snapshotStatCommand(),
    snapshotRmCommand(),
    snapshotCleanupCommand(),
  ];
  for (const subcommand of subcommands)
    command.addCommand(subcommand.exitOverride().showHelpAfterError("(add --help for what there is)"));
  return command;
}
