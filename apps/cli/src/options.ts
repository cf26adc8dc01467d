import { homedir } from "node:os";
import { join } from "node:path";

import { defaultStoreDirectory } from "@lamella/image-store";
import { hostPlatform, parsePlatform } from "@lamella/refs";
import type { Platform } from "@lamella/refs";
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";

import { messageOf } from "./error-message.js";

/** What every command takes. */
export interface GlobalOptions {
  json: boolean;
  quiet: boolean;
  /** How progress is shown; `auto`: bars on a terminal, a line each ten seconds elsewhere. */
  progress: "auto" | "json" | false;
  platform: Platform;
  root: string;
  plainHttp: string[];
  /** Mirrors and certificates, as containerd's `certs.d` has them. */
  hostsDir: string;
  /** Only of commands that bring layers. */
  foreignUrls?: boolean;
  /** Only of commands that read a whole tree. */
  xattrs?: boolean;
}

export function addGlobalOptions(command: Command): Command {
  return command
    .option("--json", "print the result as JSON", false)
    .option("-q, --quiet", "print nothing but the result and errors", false)
    .addOption(
      new Option("--progress <how>", "how progress is shown on stderr").choices(["auto", "json"]).default("auto"),
    )
    .option("--no-progress", "show no progress")
    .addOption(
      new Option("--platform <os/arch[/variant]>", "which image of a multi-platform one")
        .default(hostPlatform(), "this machine's")
        .argParser(argument(parsePlatform)),
    )
    .addOption(
      new Option("--root <dir>", "where images are kept")
        .env("LAMELLA_ROOT")
        .default(defaultStoreDirectory(process.env)),
    )
    .addOption(
      new Option(
        "--plain-http <host>",
        "speak HTTP, not HTTPS, with this host; may be repeated (loopback needs no telling)",
      )
        .argParser((host: string, hosts: string[]) => [...hosts, host])
        .default([], "none"),
    )
    .addOption(
      new Option("--hosts-dir <dir>", "mirrors and certificates: HOST/hosts.toml, as containerd's certs.d has them")
        .env("LAMELLA_HOSTS_DIR")
        .default(join(process.env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "lamella/certs.d")),
    );
}

/** What every command takes that reads a whole tree. */
export function addTreeOptions(command: Command): Command {
  command.option("--xattrs", "dir: read extended attributes too, with getfattr (package attr)", false);
  return addGlobalOptions(command);
}

/** The platform that was asked for; undefined when `--platform` was not given. */
export function chosenPlatform(command: Command): Platform | undefined {
  const { platform } = command.opts<GlobalOptions>();
  return command.getOptionValueSource("platform") === "default" ? undefined : platform;
}

/** An argument parser out of one that throws errors of its own. */
export function argument<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(messageOf(error));
    }
  };
}
