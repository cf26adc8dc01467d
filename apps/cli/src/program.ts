import { Command } from "commander";

import { catCommand } from "./commands/cat.js";
import { diskCommand } from "./commands/disk.js";
import { lsCommand } from "./commands/ls.js";
import { pullCommand } from "./commands/pull.js";

export function createProgram(): Command {
  const program = new Command("lamella")
    .description("From a container image to a bootable disk: no root, no Docker, no mkfs.")
    .version(VERSION)
    .addHelpText(
      "after",
      "\nExit status: 0 done, 1 failure, 2 usage, 3 not found, 4 auth, 5 verification, 6 network, 7 no space, 8 busy.",
    );
  for (const command of [diskCommand(), pullCommand(), lsCommand(), catCommand()]) program.addCommand(command);
  for (const command of [program, ...program.commands])
    command.exitOverride().showHelpAfterError("(add --help for what there is)");
  return program;
}

declare const VERSION: string;
