import { Command } from "commander";

import { serveNbdCommand } from "./serve-nbd.js";

export function serveCommand(): Command {
  const command = new Command("serve");
  command.addCommand(serveNbdCommand().exitOverride().showHelpAfterError("(add --help for what there is)"));
  return command;
}
