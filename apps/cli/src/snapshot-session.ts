import { openSnapshots, SNAPSHOT_DRIVERS } from "@lamella/image-store";
import type { SnapshotDriverName } from "@lamella/image-store";
import type { CallOptions } from "@lamella/refs";
import type { Mount, SnapshotInfo, Snapshotter } from "@lamella/snapshot";
import { type Command, InvalidArgumentError, Option } from "commander";

import { withInterruption } from "./interruption.js";
import { addGlobalOptions } from "./options.js";
import type { GlobalOptions } from "./options.js";

export interface SnapshotCommandOptions extends GlobalOptions {
  driver: SnapshotDriverName;
}

export interface LabelOptions {
  label: Record<string, string>;
}

/** What every command takes that works with snapshots. */
export function addSnapshotOptions(command: Command): Command {
  command.addOption(
    new Option("--driver <name>", "how snapshots are kept; one root directory has one kind")
      .choices(SNAPSHOT_DRIVERS)
      .env("LAMELLA_SNAPSHOT_DRIVER")
      .default("tree"),
  );
  return addGlobalOptions(command);
}

export function addLabelOption(command: Command): Command {
  return command.addOption(
    new Option("--label <name=value>", "a label of the snapshot; may be repeated")
      .argParser((text: string, labels: Record<string, string>) => {
        const at = text.indexOf("=");
        if (at < 1) throw new InvalidArgumentError("expected NAME=VALUE");
        return { ...labels, [text.slice(0, at)]: text.slice(at + 1) };
      })
      .default({}, "none"),
  );
}

/** Opens the snapshots of the root directory for as long as `use` takes. */
export async function withSnapshots<Result>(
  options: SnapshotCommandOptions,
  use: (snapshotter: Snapshotter, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  return withInterruption((signal) =>
    withOpenSnapshots(options, { signal }, (snapshotter) => use(snapshotter, signal)),
  );
}

/** As {@link withSnapshots}, within work that can be interrupted already. */
export async function withOpenSnapshots<Result>(
  { root, driver }: SnapshotCommandOptions,
  { signal }: CallOptions,
  use: (snapshotter: Snapshotter) => Promise<Result>,
): Promise<Result> {
  await using snapshotter = await openSnapshots(root, driver, { signal });
  return await use(snapshotter);
}

/** The command that does what a mount says. */
export function mountLine({ type, source, target = "DIRECTORY", options }: Mount, key: string): string {
  // The key may be anything, and is one word for a shell.
  if (type === "checkout") return `lamella snapshot mount '${key.replaceAll("'", "'\\''")}' ${target}\n`;
  if (type === "bind") return `mount ${source} ${target} -o ${["bind", ...options].join(",")}\n`;
  return `mount -t ${type} ${source} ${target} -o ${options.join(",")}\n`;
}

export function snapshotJson({ kind, name, parent, labels, createdAt, updatedAt }: SnapshotInfo): object {
  return { kind, name, parent, labels, createdAt, updatedAt };
}
