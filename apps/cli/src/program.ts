import { Command } from "commander";

import { catCommand } from "./commands/cat.js";
import { configCommand } from "./commands/config.js";
import { copyCommand } from "./commands/copy.js";
import { digestCommand } from "./commands/digest.js";
import { diskCommand } from "./commands/disk.js";
import { inspectCommand } from "./commands/inspect.js";
import { loginCommand } from "./commands/login.js";
import { logoutCommand } from "./commands/logout.js";
import { lsCommand } from "./commands/ls.js";
import { manifestCommand } from "./commands/manifest.js";
import { pullCommand } from "./commands/pull.js";
import { pushCommand } from "./commands/push.js";
import { referrersCommand } from "./commands/referrers.js";
import { tagsCommand } from "./commands/tags.js";

export function createProgram(): Command {
  const program = new Command("lamella")
    .description("From a container image to a bootable disk: no root, no Docker, no mkfs.")
    .version(VERSION)
    .addHelpText(
      "after",
      "\nExit status: 0 done, 1 failure, 2 usage, 3 not found, 4 auth, 5 verification, 6 network, 7 no space, 8 busy.",
    );
  const commands = [
    diskCommand(),
    pullCommand(),
    pushCommand(),
    copyCommand(),
    tagsCommand(),
    referrersCommand(),
    inspectCommand(),
    digestCommand(),
    manifestCommand(),
    configCommand(),
    lsCommand(),
    catCommand(),
    loginCommand(),
    logoutCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  for (const command of [program, ...program.commands])
    command.exitOverride().showHelpAfterError("(add --help for what there is)");
  return program;
}

declare const VERSION: string;
