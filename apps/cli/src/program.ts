import { Command } from "commander";

import { COMMANDS } from "./command-table.js";
import type { CommandEntry } from "./command-table.js";

/** The whole command line, of which only the command that the arguments name is more than a line of the help. */
export async function createProgram(args: readonly string[]): Promise<Command> {
  const program = new Command("lamella")
    .description("From a container image to a bootable disk: no root, no Docker, no mkfs.")
    .version(VERSION)
    // `disk empty` has options of its own by the names of those of `disk`.
    .enablePositionalOptions()
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText(
      "after",
      "\nExit status: 0 done, 1 failure, 2 usage, 3 not found, 4 auth, 5 verification, 6 network, 7 no space, 8 busy.",
    );
  const wanted = commandNamed(args);
  for (const entry of COMMANDS) {
    const command = entry === wanted ? await entry.load() : new Command(entry.name);
    program.addCommand(command.description(entry.description));
  }
  for (const command of [program, ...program.commands])
    command.exitOverride().showHelpAfterError("(add --help for what there is)");
  return program;
}

/** No option of the program itself takes a value: its first word is the command, or `help`. */
function commandNamed(args: readonly string[]): CommandEntry | undefined {
  const [first, second] = args.filter((arg) => !arg.startsWith("-"));
  const name = first === "help" ? second : first;
  return COMMANDS.find((entry) => entry.name === name);
}

declare const VERSION: string;
