import { Command } from "commander";

import { layerConvertCommand } from "./layer-convert.js";
import { layerIndexCommand } from "./layer-index.js";
import { layerVerifyCommand } from "./layer-verify.js";

export function layerCommand(): Command {
  const command = new Command("layer");
  for (const subcommand of [layerIndexCommand(), layerConvertCommand(), layerVerifyCommand()])
    command.addCommand(subcommand.exitOverride().showHelpAfterError("(add --help for what there is)"));
  return command;
}
